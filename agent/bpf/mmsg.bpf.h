/* sendmmsg and recvmmsg on the socket-length rung: the hook fires once per message, and nothing in
 * the registers says for which.
 *
 * So messages are counted per thread. A call ends early only where the hook fires too (an error, a
 * message not sent whole) or where it cannot be seen; the cases that cannot be seen (a timeout
 * given, out-of-band data) are not trusted:
 *
 *	next message of the same call  same vector and socket, earlier ones all complete
 *	anything else                  first message of a new call
 */
#ifndef AGENT_BPF_MMSG_BPF_H
#define AGENT_BPF_MMSG_BPF_H

struct mmsg_state {
	__u64 vec;
	__u64 sk;
	__u32 next;	/* message that the next hook is for */
	__u32 last_len; /* bytes of the one before */
};

/* Key: kernel thread id. Least recently used entries go by themselves. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct mmsg_state);
} mmsgs SEC(".maps");

/* Which message this hook is for; negative when that is not certain. */
static __always_inline int mmsg_index(__u32 tid, __u64 sk, const struct sysargs *a)
{
	struct mmsg_state *m = bpf_map_lookup_elem(&mmsgs, &tid);
	__u32 len = 0;

	if (!m || m->vec != a->arg[1] || m->sk != sk || !m->next)
		return 0;
	if (m->next >= VECS_MAX)
		return -1;
	/* The kernel has by now written the previous message's length. */
	if (bpf_probe_read_user(&len, sizeof(len),
				(const void *)(a->arg[1] +
					       sizeof(struct user_mmsghdr) * (m->next - 1) +
					       __builtin_offsetof(struct user_mmsghdr, len))))
		return -1;
	return len == m->last_len ? (int)m->next : 0;
}

static __always_inline void mmsg_advance(__u32 tid, __u64 sk, const struct sysargs *a, int index,
					 int ret, bool whole)
{
	struct mmsg_state m = { .vec = a->arg[1], .sk = sk };

	if (index >= 0 && ret >= 0 && whole && (__u32)index + 1 < (__u32)a->arg[2]) {
		m.next = (__u32)index + 1;
		m.last_len = (__u32)ret;
	}
	if (!m.next && !bpf_map_lookup_elem(&mmsgs, &tid))
		return;
	bpf_map_update_elem(&mmsgs, &tid, &m, BPF_ANY);
}

#endif
