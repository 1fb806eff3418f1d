#include "cli/live.h"

#include "cli/cli.h"
#include "cli/interrupt.h"
#include "cli/screen.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <termios.h>

#define ENTER "\x1b[?1049h\x1b[?25l" /* alternate screen, no cursor */
#define LEAVE "\x1b[?25h\x1b[?1049l"
#define HELP  "q quit · p pause · s sort · ? help"

static struct termios saved;
static volatile sig_atomic_t active, stopped;

static void write_all(const char *s, size_t n)
{
	while (n) {
		ssize_t done = write(STDOUT_FILENO, s, n);

		if (done < 0 && errno != EINTR)
			return;
		s += done > 0 ? done : 0;
		n -= done > 0 ? (size_t)done : 0;
	}
}

static void enter(void)
{
	struct termios raw = saved;

	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 0;
	raw.c_cc[VTIME] = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	write_all(ENTER, sizeof(ENTER) - 1);
	active = 1;
}

static void leave(void)
{
	if (!active)
		return;
	active = 0;
	write_all(LEAVE, sizeof(LEAVE) - 1);
	tcsetattr(STDIN_FILENO, TCSANOW, &saved);
}

/* Ctrl-Z: the shell gets its terminal back before we stop. */
static void on_stop(int sig)
{
	int keep = errno;

	(void)sig;
	leave();
	signal(SIGTSTP, SIG_DFL);
	raise(SIGTSTP);
	stopped = 1;
	errno = keep;
}

static void on_continue(int sig)
{
	(void)sig;
	stopped = 1;
}

static void catch_stop(void)
{
	struct sigaction stop = { .sa_handler = on_stop, .sa_flags = SA_NODEFER };
	struct sigaction cont = { .sa_handler = on_continue };

	sigaction(SIGTSTP, &stop, NULL);
	sigaction(SIGCONT, &cont, NULL);
}

/* Line by line over the old frame, so that nothing flickers; never more lines than the screen has.
 */
static void paint(struct slice frame, const char *status)
{
	_cleanup_(strbuf_done) struct strbuf out = STRBUF_INIT(LIVE_FRAME_MAX * 2);
	size_t height = screen_height(STDOUT_FILENO), line = 1;

	strbuf_adds(&out, "\x1b[H");
	while (frame.n && line < height) {
		size_t end = slice_find(frame, '\n');

		strbuf_add(&out, frame.p, end);
		strbuf_adds(&out, "\x1b[0m\x1b[K\r\n");
		frame = slice_from(frame, end + 1);
		line++;
	}
	screen_cut(slice_str(status), screen_width(STDOUT_FILENO), &out);
	strbuf_adds(&out, "\x1b[K\x1b[J");
	write_all(strbuf_str(&out), out.len);
}

struct session {
	struct live_state state;
	const char *const *sorts;
	size_t sort, n_sorts;
	bool paused, help, quit;
};

static void on_key(struct session *s, char key)
{
	switch (key) {
	case 'q':
	case 4: /* Ctrl-D */
		s->quit = true;
		break;
	case 'p':
	case ' ':
		s->paused = !s->paused;
		break;
	case 's':
		s->sort = (s->sort + 1) % s->n_sorts;
		s->state.sort = s->sorts[s->sort];
		break;
	case '?':
		s->help = !s->help;
		break;
	default:
		break;
	}
}

static int wait_keys(struct session *s)
{
	char keys[32];
	ssize_t n;
	int r = interrupt_wait(STDIN_FILENO, LIVE_INTERVAL_MS);

	if (r < 0)
		return r;
	if (stopped) {
		stopped = 0;
		catch_stop();
		enter();
	}
	if (r == 0)
		return 0;
	n = read(STDIN_FILENO, keys, sizeof(keys));
	if (n == 0)
		return -EINTR; /* the terminal is gone */
	for (ssize_t i = 0; i < n; i++)
		on_key(s, keys[i]);
	return s->quit ? -EINTR : 1;
}

static void status_line(const struct session *s, struct strbuf *out)
{
	strbuf_adds(out, s->paused ? "paused · " : "");
	if (s->state.sort)
		strbuf_addf(out, "by %s · ", s->state.sort);
	strbuf_adds(out, s->help ? "q: quit, p or space: pause, s: next order, Ctrl-Z: to the shell"
				 : HELP);
}

int live_run(live_draw draw, void *ctx, const char *const *sorts, size_t n_sorts, struct trouble *t)
{
	_cleanup_(strbuf_done) struct strbuf frame = STRBUF_INIT(LIVE_FRAME_MAX);
	struct session s = { .sorts = sorts, .n_sorts = n_sorts };
	bool first = true;
	int r = draw(ctx, &s.state, &frame, t);

	if (r == -EINTR)
		return EXIT_INTERRUPTED;
	if (r < 0)
		return trouble_fail(t);
	if (tcgetattr(STDIN_FILENO, &saved) < 0)
		return cli_fail(EXIT_ERROR, "the terminal does not answer: %s", strerror(errno));
	catch_stop();
	enter();
	for (;;) {
		_cleanup_(strbuf_done) struct strbuf status = STRBUF_INIT(4096);

		if (!first && !s.paused) {
			strbuf_reset(&frame);
			r = draw(ctx, &s.state, &frame, t);
			if (r == -EINTR)
				break;
			if (r < 0)
				screen_escape(slice_str(t->message), &frame);
		}
		first = false;
		status_line(&s, &status);
		paint(strbuf_slice(&frame), strbuf_str(&status));
		r = wait_keys(&s);
		if (r == -EINTR)
			break;
	}
	leave();
	return EXIT_OK;
}
