#include "agent/intruder.h"

#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define PAGE 4096

typedef long (*attempt_fn)(const struct intruder *who);

static long read_a_file(const struct intruder *who)
{
	(void)who;
	return open("/etc/passwd", O_RDONLY);
}

static long make_a_file(const struct intruder *who)
{
	(void)who;
	return open("/tmp/kelpie-intruder", O_WRONLY | O_CREAT, 0600);
}

static long read_stored_data(const struct intruder *who)
{
	return open(who->data_dir, O_RDONLY | O_DIRECTORY);
}

static long open_data_to_all(const struct intruder *who)
{
	return chmod(who->data_dir, 0777);
}

static long read_attachers_memory_file(const struct intruder *who)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)who->attacher);
	return open(path, O_RDWR);
}

static long call_the_internet(const struct intruder *who)
{
	(void)who;
	return socket(AF_INET, SOCK_STREAM, 0);
}

static long call_the_machine(const struct intruder *who)
{
	(void)who;
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

static long ask_the_kernel(const struct intruder *who)
{
	(void)who;
	return socket(AF_NETLINK, SOCK_RAW, 0);
}

static long run_a_program(const struct intruder *who)
{
	char *const args[] = { (char[]){ "true" }, NULL };

	(void)who;
	return execve("/bin/true", args, args + 1);
}

static long fork_a_process(const struct intruder *who)
{
	long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	(void)who;
	if (pid == 0)
		syscall(SYS_exit_group, 0);
	return pid;
}

static long signal_the_attacher(const struct intruder *who)
{
	return kill(who->attacher, SIGCONT);
}

static long signal_everybody(const struct intruder *who)
{
	(void)who;
	return kill(-1, SIGCONT);
}

static long signal_a_thread(const struct intruder *who)
{
	return syscall(SYS_tgkill, who->attacher, who->attacher, SIGCONT);
}

static long trace_the_attacher(const struct intruder *who)
{
	return ptrace(PTRACE_SEIZE, who->attacher, NULL, NULL);
}

static long read_the_attachers_memory(const struct intruder *who)
{
	char byte;
	struct iovec here = { &byte, 1 }, there = { (void *)(uintptr_t)who->ledger, 1 };

	return process_vm_readv(who->attacher, &here, 1, &there, 1, 0);
}

static long load_a_bpf_program(const struct intruder *who)
{
	char attr[128] = "";

	(void)who;
	return syscall(SYS_bpf, 5 /* BPF_PROG_LOAD */, attr, sizeof(attr));
}

static long open_a_perf_event(const struct intruder *who)
{
	char attr[128] = "";

	(void)who;
	return syscall(SYS_perf_event_open, attr, -1, 0, -1, 0);
}

static long make_an_io_uring(const struct intruder *who)
{
	char params[128] = "";

	(void)who;
	return syscall(SYS_io_uring_setup, 1, params);
}

static long make_a_user_namespace(const struct intruder *who)
{
	(void)who;
	return unshare(CLONE_NEWUSER);
}

static long become_root(const struct intruder *who)
{
	(void)who;
	return syscall(SYS_setresuid, 0, 0, 0);
}

static long type_into_the_terminal(const struct intruder *who)
{
	char byte = '\n';

	(void)who;
	return ioctl(STDERR_FILENO, TIOCSTI, &byte);
}

static long map_code(const struct intruder *who)
{
	(void)who;
	return mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0) == MAP_FAILED
		       ? -1
		       : 0;
}

static long make_data_code(const struct intruder *who)
{
	void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)who;
	return p == MAP_FAILED ? 0 : mprotect(p, PAGE, PROT_READ | PROT_EXEC);
}

static long make_a_memory_file(const struct intruder *who)
{
	(void)who;
	return memfd_create("intruder", 0);
}

static long write_the_attachers_part(const struct intruder *who)
{
	atomic_fetch_add(&who->ledger->attacher.parser_restarts, 1);
	return 0;
}

static long write_the_others_part(const struct intruder *who)
{
	enum ledger_writer other = who->self == LEDGER_PARSER ? LEDGER_STORE : LEDGER_PARSER;

	ledger_add(who->ledger, other, L2_IN, 1);
	return 0;
}

static long open_the_attachers_part(const struct intruder *who)
{
	return mprotect(&who->ledger->attacher, LEDGER_PART_BYTES, PROT_READ | PROT_WRITE);
}

/* Our own part, which is ours to write: rows of the next life would begin at the end of all numbers, or
 * be taken for rows that were stored long ago. */
static long number_rows_from_the_end(const struct intruder *who)
{
	if (who->self == LEDGER_PARSER)
		atomic_store(&who->ledger->parser.rows_seq, UINT64_MAX - 5);
	else
		atomic_store(&who->ledger->store.stored_seq, UINT64_MAX - 5);
	return 0;
}

static const struct {
	const char *name;
	attempt_fn make;
} attempts[] = {
#define A(name)                                                                                    \
	{                                                                                          \
#name, name                                                                        \
	}
	A(read_a_file),
	A(make_a_file),
	A(read_stored_data),
	A(open_data_to_all),
	A(read_attachers_memory_file),
	A(call_the_internet),
	A(call_the_machine),
	A(ask_the_kernel),
	A(run_a_program),
	A(fork_a_process),
	A(signal_the_attacher),
	A(signal_everybody),
	A(signal_a_thread),
	A(trace_the_attacher),
	A(read_the_attachers_memory),
	A(load_a_bpf_program),
	A(open_a_perf_event),
	A(make_an_io_uring),
	A(make_a_user_namespace),
	A(become_root),
	A(type_into_the_terminal),
	A(map_code),
	A(make_data_code),
	A(make_a_memory_file),
	A(write_the_attachers_part),
	A(write_the_others_part),
	A(open_the_attachers_part),
	A(number_rows_from_the_end),
#undef A
};

static void say(const char *name, const char *what)
{
	char line[128];
	int n = snprintf(line, sizeof(line), "intruder %s: %s\n", name, what);

	(void)!write(STDERR_FILENO, line, (size_t)n);
}

void intruder_turn(const struct intruder *who, uint32_t turn)
{
	if (turn >= ARRAY_SIZE(attempts)) {
		say("all", "done");
		return;
	}
	say(attempts[turn].name, "tries");
	say(attempts[turn].name, attempts[turn].make(who) < 0 ? strerrorname_np(errno) : "through");
	__builtin_trap();
}
