/* System calls that move socket bytes: their numbers, where the user memory is, and whether the
 * registers of the current task can be believed to describe the transfer at hand.
 */
#ifndef AGENT_BPF_SYSARGS_BPF_H
#define AGENT_BPF_SYSARGS_BPF_H

/* One byte per system call number: 0 not ours, else where the bytes are, and the direction. */
#define SYS_TX	   0x80
#define SYS_KIND   0x0f
#define SYS_BUF	   1	/* (fd, buf, len, ...) */
#define SYS_IOV	   2	/* (fd, iovec *, n, ...) */
#define SYS_MSG	   3	/* (fd, msghdr *, flags) */
#define SYS_MMSG   4	/* (fd, mmsghdr *, n, flags, timeout) */
#define SYS_NOBUF  5	/* sendfile(out, ...): no user memory */
#define SYS_SPLICE 6	/* splice(in, off, out, ...): no user memory, two sockets possible */
#define SYS_FLAGS  0x70 /* which argument holds MSG_* flags */
#define SYS_FLAGS2 0x10
#define SYS_FLAGS3 0x20
#define SYS_TABLE  512

static const volatile __u8 sys_table[SYS_TABLE] SEC(".rodata.sys") = {
#if defined(__TARGET_ARCH_x86)
	[0] = SYS_BUF,
	[1] = SYS_BUF | SYS_TX,
	[19] = SYS_IOV,
	[20] = SYS_IOV | SYS_TX,
	[40] = SYS_NOBUF | SYS_TX,
	[44] = SYS_BUF | SYS_TX | SYS_FLAGS3,
	[45] = SYS_BUF | SYS_FLAGS3,
	[46] = SYS_MSG | SYS_TX | SYS_FLAGS2,
	[47] = SYS_MSG | SYS_FLAGS2,
	[275] = SYS_SPLICE,
	[299] = SYS_MMSG | SYS_FLAGS3,
	[307] = SYS_MMSG | SYS_TX | SYS_FLAGS3,
	[327] = SYS_IOV,
	[328] = SYS_IOV | SYS_TX,
#else
	[63] = SYS_BUF,
	[64] = SYS_BUF | SYS_TX,
	[65] = SYS_IOV,
	[66] = SYS_IOV | SYS_TX,
	[71] = SYS_NOBUF | SYS_TX,
	[76] = SYS_SPLICE,
	[206] = SYS_BUF | SYS_TX | SYS_FLAGS3,
	[207] = SYS_BUF | SYS_FLAGS3,
	[211] = SYS_MSG | SYS_TX | SYS_FLAGS2,
	[212] = SYS_MSG | SYS_FLAGS2,
	[243] = SYS_MMSG | SYS_FLAGS3,
	[269] = SYS_MMSG | SYS_TX | SYS_FLAGS3,
	[286] = SYS_IOV,
	[287] = SYS_IOV | SYS_TX,
#endif
};

struct sysargs {
	__u64 arg[5];
	__u32 kind; /* a byte of sys_table */
};

static __always_inline __u32 sys_kind(__u64 nr)
{
	__u32 i = (__u32)nr;

	if (nr >= SYS_TABLE)
		return 0;
	i &= SYS_TABLE - 1;
	return sys_table[i];
}

#if defined(__TARGET_ARCH_x86)
static __always_inline __u64 regs_nr(struct pt_regs *r)
{
	return K(r, orig_ax);
}

static __always_inline void regs_args(struct pt_regs *r, struct sysargs *a)
{
	a->arg[0] = K(r, di);
	a->arg[1] = K(r, si);
	a->arg[2] = K(r, dx);
	a->arg[3] = K(r, r10);
	a->arg[4] = K(r, r8);
}

/* The entry code stores -ENOSYS as the result and overwrites it when the call returns: anything
 * else means that we run in work that was put off to the way out (io_uring), or that these are the
 * copied registers of a worker. */
static __always_inline bool regs_in_call(struct pt_regs *r)
{
	return K(r, ax) == (unsigned long)-ENOSYS;
}

/* TS_COMPAT of arch/x86/include/asm/thread_info.h: entered as a 32-bit system call, whose numbers
 * and registers are others. */
static __always_inline bool task_compat(struct task_struct *t, struct pt_regs *r)
{
	(void)r;
	return K(t, thread_info.status) & 2;
}
#else
static __always_inline __u64 regs_nr(struct pt_regs *r)
{
	return (__u64)(__s64)K(r, syscallno);
}

static __always_inline void regs_args(struct pt_regs *r, struct sysargs *a)
{
	a->arg[0] = K(r, orig_x0);
	a->arg[1] = K(r, regs[1]);
	a->arg[2] = K(r, regs[2]);
	a->arg[3] = K(r, regs[3]);
	a->arg[4] = K(r, regs[4]);
}

/* x0 keeps the first argument until the result replaces it. A result equal to the descriptor's
 * number passes this test; the descriptor must then still be the very same socket. */
static __always_inline bool regs_in_call(struct pt_regs *r)
{
	return K(r, regs[0]) == K(r, orig_x0);
}

/* PSR_MODE32_BIT: the caller runs AArch32. */
static __always_inline bool task_compat(struct task_struct *t, struct pt_regs *r)
{
	(void)t;
	return K(r, pstate) & 0x10;
}
#endif

/* The socket behind a file, NULL when it is none. */
static __always_inline struct sock *file_sock(struct file *file)
{
	struct inode *inode = K(file, f_inode);
	struct socket *socket;

	if (!inode || (K(inode, i_mode) & S_IFMT) != S_IFSOCK)
		return NULL;
	socket = (struct socket *)K(file, private_data);
	if (!socket)
		return NULL;
	socket = KCAST(socket, socket);
	if (K(socket, file) != file)
		return NULL;
	return K(socket, sk);
}

/* The socket behind a descriptor of the task, NULL when it is none. */
static __always_inline struct sock *fd_sock(struct task_struct *t, __u64 fd)
{
	struct files_struct *files = K(t, files);
	struct fdtable *fdt;
	struct file **table;
	struct file *file;

	if (!files)
		return NULL;
	fdt = K(files, fdt);
	if (!fdt || (__u32)fd >= K(fdt, max_fds))
		return NULL;
	table = K(fdt, fd);
	/* A pointer to pointers has no BTF type to load through: any struct that starts with a
	 * pointer will do. */
	file = (struct file *)K(KCAST(list_head, (__u64)table + 8 * (__u64)(__u32)fd), next);
	return file ? file_sock(KCAST(file, file)) : NULL;
}

#endif
