# Runs inside the machine: the kernel-side tests of UNIX sockets and UDP on every rung this kernel has.
# Argument: the folder of the test programs.
failed=0
for test in test_unix test_udp; do
	for rung in socklen sysexit rawtp tracepoint; do
		for reads in btf probe; do
			name=${test}_${rung}_$reads
			if ! "$1/$test" $rung $reads >/tmp/out 2>&1; then
				echo "not ok rungs__$name"
				cat /tmp/out
				failed=1
			elif grep -q '^ok' /tmp/out; then
				echo "ok rungs__$name ($(grep -c '^ok' /tmp/out) cases)"
			else
				echo "skip rungs__$name (this kernel has no such rung)"
			fi
		done
	done
done
exit $failed
