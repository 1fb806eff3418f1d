#include "cli/term.h"

#include "base/base64.h"
#include "base/strbuf.h"
#include "base/util.h"
#include "cli/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <termios.h>

/* Alternate screen, no cursor, no wrapping at the margin, pastes marked (xterm's control sequences). */
#define ENTER	      "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[?2004h"
#define LEAVE	      "\x1b[?2004l\x1b[?7h\x1b[?25h\x1b[?1049l"
#define SEQUENCE_MS   50 /* how long the rest of an escape sequence may take */
#define SEQUENCE_MAX  32 /* bytes; longer ones are no keys */
#define CLIPBOARD_MAX (64 * KIB)

static struct termios saved;
static volatile sig_atomic_t active;
static int wake[2] = { -1, -1 }; /* readable after SIGWINCH and SIGCONT */
static uint8_t typed[256];
static size_t typed_at, typed_n;
static bool pasting;

static const int crashes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGQUIT };

void term_write(struct slice s)
{
	while (s.n) {
		ssize_t done = write(STDOUT_FILENO, s.p, s.n);

		if (done < 0 && errno != EINTR)
			return;
		s = slice_from(s, done > 0 ? (size_t)done : 0);
	}
}

static void enter(void)
{
	struct termios raw = saved;

	raw.c_iflag &= ~(tcflag_t)(ICRNL | IXON);
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | IEXTEN);
	raw.c_cc[VMIN] = 0;
	raw.c_cc[VTIME] = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	term_write(SLICE_LIT(ENTER));
	active = 1;
}

/* Only calls that a signal handler may make. */
static void leave(void)
{
	if (!active)
		return;
	active = 0;
	term_write(SLICE_LIT(LEAVE));
	tcsetattr(STDIN_FILENO, TCSANOW, &saved);
}

static void on_crash(int sig)
{
	leave();
	signal(sig, SIG_DFL);
	raise(sig);
}

static void on_wake(int sig)
{
	int keep = errno;

	(void)sig;
	(void)!write(wake[1], "", 1);
	errno = keep;
}

/* Ctrl-Z: the shell gets its terminal back before we stop. */
static void on_stop(int sig)
{
	int keep = errno;

	leave();
	signal(sig, SIG_DFL);
	raise(sig);
	errno = keep;
}

static void catch_signals(void)
{
	struct sigaction crash = { .sa_handler = on_crash };
	struct sigaction woken = { .sa_handler = on_wake, .sa_flags = SA_RESTART };
	struct sigaction stop = { .sa_handler = on_stop, .sa_flags = SA_NODEFER };

	for (size_t i = 0; i < ARRAY_SIZE(crashes); i++)
		sigaction(crashes[i], &crash, NULL);
	sigaction(SIGWINCH, &woken, NULL);
	sigaction(SIGCONT, &woken, NULL);
	sigaction(SIGTSTP, &stop, NULL);
}

static void restore_signals(void)
{
	static const int others[] = { SIGWINCH, SIGCONT, SIGTSTP };

	for (size_t i = 0; i < ARRAY_SIZE(crashes); i++)
		signal(crashes[i], SIG_DFL);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		signal(others[i], SIG_DFL);
}

int term_open(void)
{
	if (tcgetattr(STDIN_FILENO, &saved) < 0)
		return -errno;
	if (wake[0] < 0 && pipe2(wake, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	catch_signals();
	enter();
	return 0;
}

void term_close(void)
{
	leave();
	restore_signals();
}

int term_wait(int ms)
{
	struct pollfd fds[] = { { .fd = interrupt_fd(), .events = POLLIN },
				{ .fd = STDIN_FILENO, .events = POLLIN },
				{ .fd = wake[0], .events = POLLIN } };
	char drop[64];

	if (interrupted())
		return -EINTR;
	if (typed_at < typed_n)
		return 1;
	if (poll(fds, ARRAY_SIZE(fds), ms) <= 0)
		return interrupted() ? -EINTR : 0;
	if (interrupted())
		return -EINTR;
	if (fds[2].revents) {
		while (read(wake[0], drop, sizeof(drop)) > 0)
			;
		catch_signals();
		if (!active)
			enter();
		return 2;
	}
	return fds[1].revents ? 1 : 0;
}

/* The next byte, after at most ms milliseconds; KEY_NONE. */
static int next_byte(int ms, bool *ret_gone)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	ssize_t n;

	if (typed_at < typed_n)
		return typed[typed_at++];
	if (poll(&in, 1, ms) <= 0)
		return KEY_NONE;
	n = read(STDIN_FILENO, typed, sizeof(typed));
	*ret_gone |= n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
	typed_at = 0;
	typed_n = n > 0 ? (size_t)n : 0;
	return typed_n ? typed[typed_at++] : KEY_NONE;
}

/* What follows ESC [ or ESC O, up to its last byte (ECMA-48 section 5.4). */
static int read_sequence(bool *ret_gone)
{
	static const struct {
		const char *text;
		int key;
	} keys[] = {
		{ "A", KEY_UP },	 { "B", KEY_DOWN }, { "5~", KEY_PAGE_UP },
		{ "6~", KEY_PAGE_DOWN }, { "H", KEY_HOME }, { "1~", KEY_HOME },
		{ "F", KEY_END },	 { "4~", KEY_END },
	};
	char text[SEQUENCE_MAX] = "";
	size_t n = 0;
	int c;

	do {
		c = next_byte(SEQUENCE_MS, ret_gone);
		if (c == KEY_NONE)
			return KEY_OTHER;
		text[n++] = (char)c;
	} while (n < sizeof(text) - 1 && !(c >= 0x40 && c <= 0x7e));
	if (strcmp(text, "200~") == 0 || strcmp(text, "201~") == 0)
		pasting = text[2] == '0';
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (strcmp(keys[i].text, text) == 0)
			return keys[i].key;
	return KEY_OTHER;
}

int term_key(bool *ret_gone)
{
	int c = next_byte(0, ret_gone), next;

	if (c != KEY_ESCAPE && c != KEY_NONE && pasting)
		return c | KEY_PASTED;
	if (c != KEY_ESCAPE)
		return c == '\n' ? KEY_ENTER : c;
	next = next_byte(SEQUENCE_MS, ret_gone);
	if (next == '[' || next == 'O')
		return read_sequence(ret_gone);
	if (next == KEY_NONE)
		return KEY_ESCAPE;
	typed_at--; /* ESC, then another key */
	return KEY_ESCAPE;
}

void term_copy(struct slice text)
{
	_cleanup_(strbuf_done) struct strbuf out = STRBUF_INIT(2 * CLIPBOARD_MAX);

	if (text.n > CLIPBOARD_MAX)
		return;
	strbuf_adds(&out, "\x1b]52;c;");
	base64_put(&out, text);
	strbuf_adds(&out, "\x07");
	term_write(strbuf_slice(&out));
}
