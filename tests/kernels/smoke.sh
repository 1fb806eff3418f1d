# Runs inside the machine: busybox sh, root. Argument: the folder of Kelpie's programs.
# Live requests through nginx become rows that equal nginx's own log; the ledger closes; nothing is left.
bin=$1
export KELPIE_SERVER=unix:/tmp/kelpie.sock
failed=0

check() # NAME STATUS
{
	if [ "$2" -eq 0 ]; then
		echo "ok smoke__$1"
	else
		echo "not ok smoke__$1"
		failed=$((failed + 1))
	fi
}

wait_for() # SECONDS COMMAND...
{
	left=$(($1 * 5))
	shift
	until "$@"; do
		left=$((left - 1))
		[ $left -gt 0 ] || return 1
		sleep 0.2
	done
}

ask() # SQL : one line per row, without header
{
	"$bin/kelpie" sql -o csv "$1" 2>/tmp/ask.err | tail -n +2 | tr -d '"\r'
}

rows_are_there()
{
	[ "$(ask 'SELECT count(*) FROM requests')" = "$(wc -l </tmp/truth.log)" ]
}

is_ready() { grep -q ready /tmp/kelpie.log; }
nginx_answers() { curl -s -o /dev/null http://127.0.0.1:18080/ok/start; }
ended() { ! kill -0 "$1" 2>/dev/null; }

# A connection that is older than Kelpie: held open by descriptor 3.
old_connection() { printf 'GET /ok/old-%s HTTP/1.1\r\nHost: smoke\r\n\r\n' "$1" >&3; }
old_answered() { [ "$(grep -c fine /tmp/old.out)" = "$1" ]; }

requests()
{
	for n in 1 2 3 4 5 6 7 8 9 10; do
		curl -s -o /dev/null -o /dev/null "http://127.0.0.1:18080/ok/$n" "http://127.0.0.1:18080/ok/again-$n"
		curl -s -o /dev/null -X POST --data "x=$n" "http://127.0.0.1:18080/ok/post-$n"
		curl -s -o /dev/null -g "http://[::1]:18080/missing/$n" # IPv6
		curl -s -o /dev/null --unix-socket /tmp/nginx.sock "http://smoke/ok/unix-$n"
		curl -s -o /dev/null "http://127.0.0.1:18080/broken/$n"
		curl -s -o /dev/null "http://127.0.0.1:18080/empty/$n"
		curl -s -o /dev/null "http://127.0.0.1:18080/large"
		curl -s -o /dev/null -I "http://127.0.0.1:18080/large"
	done
}

mkdir -p /tmp/www
dd if=/dev/zero of=/tmp/www/large bs=1k count=300 2>/dev/null
uname -r
nginx -c /etc/nginx-smoke.conf -e /tmp/nginx-error.log &
nginx=$!
wait_for 20 nginx_answers
check nginx_answers $?
mkfifo /tmp/old
nc 127.0.0.1 18080 </tmp/old >/tmp/old.out &
exec 3>/tmp/old
old_connection 1
wait_for 5 old_answered 1
check old_connection $?
: >/tmp/truth.log # what came before Kelpie

"$bin/kelpie" run --data-dir /data/kelpie --listen "$KELPIE_SERVER" 2>/tmp/kelpie.log &
kelpie=$!
wait_for 60 is_ready
check ready $?

old_connection 2
wait_for 5 old_answered 2
requests
wait_for 20 rows_are_there
check counts_equal $?
ask 'SELECT method, path, status_code FROM http' | tr ',' ' ' | sort >/tmp/rows
sort /tmp/truth.log | cmp -s - /tmp/rows
check fields_equal $?
sort /tmp/truth.log | diff - /tmp/rows | head -n 20
# Of the clients: a server may have answered before its client's call has returned, and not know it yet.
[ "$(ask "SELECT count(*) FROM observations WHERE server_addr = 'unix:/tmp/nginx.sock' AND client_comm = 'curl'
	AND server_comm = 'nginx' AND role = 'client' AND is_primary = 0")" = 10 ]
check both_ends_of_unix_sockets $?
ask "SELECT role, is_primary, client_comm, server_comm, conn_id IS NULL, outcome, count(*) FROM observations
	WHERE server_addr LIKE 'unix:%' GROUP BY 1, 2, 3, 4, 5, 6" | sed 's/^/# /'
[ "$(ask 'SELECT count(*) FROM kelpie_ledger_balance WHERE difference <> 0')" = 0 ]
check ledger_closes $?
"$bin/kelpie" status
check status $?
"$bin/kelpie" top -o csv >/tmp/top 2>/tmp/top.err
grep -q nginx /tmp/top
check top_names_the_server $?
exec 3>&-

kill -TERM $kelpie
wait_for 20 ended $kelpie
check ends $?
wait $kelpie
check exit_status $?
[ -z "$(bpftool prog list 2>/dev/null | grep -v -e cgroup_device -e cgroup_skb | grep name)" ]
check no_program_left $?
kill $nginx

if [ $failed -ne 0 ]; then
	cat /tmp/kelpie.log /tmp/ask.err
	bpftool prog list | head -n 20
fi
exit $failed
