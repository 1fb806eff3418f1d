#include "base/path_template.h"
#include "base/util.h"

#define SEGMENT_MAX 64
#define ELLIPSIS    "/..."
#define NODES_FULL  (PATH_GUARD_NODES / 8 * 7) /* keeps probing short */

enum cls { CLS_DIGIT = 1, CLS_HEX = 2, CLS_ODD = 4, CLS_LETTER = 8 };

static const uint8_t classes[256] = {
	['0' ... '9'] = CLS_DIGIT | CLS_HEX,
	['a' ... 'f'] = CLS_HEX | CLS_LETTER,
	['g' ... 'z'] = CLS_LETTER,
	['A' ... 'F'] = CLS_HEX | CLS_LETTER,
	['G' ... 'Z'] = CLS_LETTER,
	['%'] = CLS_ODD,
	['@'] = CLS_ODD,
	['='] = CLS_ODD,
	[':'] = CLS_ODD,
	[';'] = CLS_ODD,
	['<'] = CLS_ODD,
};

struct counts {
	size_t digits, hex, odd;
};

static struct counts count(struct slice s)
{
	struct counts c = { 0 };

	for (size_t i = 0; i < s.n; i++) {
		uint8_t cls = classes[s.p[i]];

		c.digits += cls & CLS_DIGIT;
		c.hex += (cls & CLS_HEX) != 0;
		c.odd += (cls & CLS_ODD) != 0;
	}
	return c;
}

static bool is_version(struct slice s)
{
	return (s.n == 2 || s.n == 3) && (s.p[0] | 0x20) == 'v' && (classes[s.p[1]] & CLS_DIGIT) &&
	       (s.n == 2 || (classes[s.p[2]] & CLS_DIGIT));
}

static bool is_uuid(struct slice s, const struct counts *c)
{
	return s.n == 36 && c->hex == 32 && s.p[8] == '-' && s.p[13] == '-' && s.p[18] == '-' &&
	       s.p[23] == '-';
}

static bool is_variable(struct slice s)
{
	struct counts c = count(s);

	if (c.odd > 0 || s.n > SEGMENT_MAX)
		return true;
	if (c.digits == 0 || is_version(s))
		return false;
	return c.digits * 2 > s.n || is_uuid(s, &c) || (s.n >= 8 && c.hex == s.n) ||
	       (s.n >= 20 && c.digits >= 3);
}

/* Length of ".ext" at the end: one to five letters and digits, a letter first. 0 without. */
static size_t extension_len(struct slice s)
{
	size_t n = 0;

	while (n < s.n && n < 6 && (classes[s.p[s.n - 1 - n]] & (CLS_LETTER | CLS_DIGIT)))
		n++;
	if (n == 0 || n > 5 || n + 1 >= s.n || s.p[s.n - 1 - n] != '.')
		return 0;
	return classes[s.p[s.n - n]] & CLS_LETTER ? n + 1 : 0;
}

struct writer {
	char *out;
	size_t n;
	bool full;
};

static void put(struct writer *w, struct slice s)
{
	if (w->full || s.n > PATH_TEMPLATE_MAX - sizeof(ELLIPSIS) - w->n) {
		w->full = true;
		return;
	}
	memcpy(w->out + w->n, s.p, s.n);
	w->n += s.n;
}

static size_t cut(struct writer *w)
{
	memcpy(w->out + w->n, ELLIPSIS, sizeof(ELLIPSIS) - 1);
	return w->n + sizeof(ELLIPSIS) - 1;
}

/* Build tools put a hash of the content behind the last dot or dash of a file's name. Empty when
 * there is none, or it is short. */
static struct slice last_piece(struct slice s)
{
	size_t n = 0;

	while (n < s.n && s.p[s.n - 1 - n] != '.' && s.p[s.n - 1 - n] != '-')
		n++;
	return n < 8 || n == s.n ? slice_of(s.p, 0) : slice_from(s, s.n - n);
}

/* One segment without its slash, as a template has it: in *ret_text, with *ret_ext behind. */
static void segment_shape(struct slice s, struct slice *ret_text, struct slice *ret_ext)
{
	size_t ext = extension_len(s);
	struct slice stem = slice_head(s, s.n - ext);

	if (ext > 0 && count(s).odd == 0 && (is_variable(stem) || is_variable(last_piece(stem)))) {
		*ret_text = SLICE_LIT("*");
		*ret_ext = slice_from(s, stem.n);
		return;
	}
	*ret_text = is_variable(s) ? SLICE_LIT("*") : s;
	*ret_ext = slice_of(s.p, 0);
}

/* The path without scheme, host, query and fragment. */
static struct slice path_of(struct slice s)
{
	const uint8_t *p = s.n > 0 && s.p[0] != '/' ? memmem(s.p, s.n, "://", 3) : NULL;

	if (p) {
		s = slice_from(s, (size_t)(p - s.p) + 3);
		s = slice_from(s, slice_find(s, '/'));
		if (s.n == 0)
			return SLICE_LIT("/");
	}
	s = slice_head(s, slice_find(s, '?'));
	return slice_head(s, slice_find(s, '#'));
}

/* The node with this key, made when it is new; NULL when there is no room. root: of the server it
 * belongs to, NULL for a root itself. */
static struct path_node *node_get(struct path_guard *g, struct path_node *root, uint64_t key,
				  bool *ret_new)
{
	size_t i = key % PATH_GUARD_NODES;

	key += key == 0;
	for (; g->nodes[i].key != key; i = (i + 1) % PATH_GUARD_NODES) {
		if (g->nodes[i].key != 0)
			continue;
		if (g->n >= NODES_FULL || (root && root->nodes >= PATH_GUARD_SERVER_NODES))
			return NULL;
		if (root)
			root->nodes++;
		g->n++;
		g->nodes[i].key = key;
		*ret_new = true;
		break;
	}
	return &g->nodes[i];
}

static uint64_t child_key(const struct path_guard *g, const struct path_node *parent,
			  struct slice text, struct slice ext)
{
	uint64_t place = hash_u64((uint64_t)(parent - g->nodes) + 1);

	return hash_bytes(&g->key, text) ^ hash_u64(place ^ (ext.n ? hash_bytes(&g->key, ext) : 0));
}

/* One step down from parent. text, ext: the segment's shape; replaced by a star where the place has
 * had too many different ones. NULL when there is no room. */
static struct path_node *descend(struct path_guard *g, struct path_node *root,
				 struct path_node *parent, struct slice *text, struct slice *ext)
{
	bool fixed = text->n > 0 && !slice_eq_str(*text, "*"), fresh = false;
	struct path_node *node = NULL;

	if (!fixed || !parent->collapsed) {
		node = node_get(g, root, child_key(g, parent, *text, *ext), &fresh);
		if (!fixed || !fresh || !node)
			return node;
		if (++parent->children <= PATH_GUARD_CHILDREN)
			return node;
		parent->collapsed = true;
	}
	*text = SLICE_LIT("*");
	*ext = slice_of(ext->p, 0);
	return node_get(g, root, child_key(g, parent, *text, *ext), &fresh);
}

/* Whether one more path of this shape is let through. */
static bool may_end(struct path_node *root, struct path_node *node)
{
	if (node->ends)
		return true;
	if (root->templates >= PATH_GUARD_TEMPLATES)
		return false;
	root->templates++;
	node->ends = true;
	return true;
}

static size_t as_it_is(struct slice s, char *out)
{
	s = slice_head(s, PATH_TEMPLATE_MAX);
	if (s.n > 0)
		memcpy(out, s.p, s.n);
	return s.n;
}

/* What is no path: `*`, host:port, whatever a client made up. The guard holds for it too, at a place
 * of its own. */
static size_t name_guarded(struct path_guard *g, struct path_node *root, struct slice name,
			   char *out)
{
	struct writer w = { .out = out };
	struct slice text = slice_head(name, PATH_TEMPLATE_MAX), ext = SLICE_LIT("");
	struct path_node *node;
	bool fresh = false;

	node = node_get(g, root, child_key(g, root, SLICE_LIT(""), SLICE_LIT("name")), &fresh);
	if (node)
		node = descend(g, root, node, &text, &ext);
	return node && may_end(root, node) ? as_it_is(text, out) : cut(&w);
}

/* g: NULL for form alone. */
static size_t template_make(struct path_guard *g, struct path_node *root, struct slice path,
			    char *out)
{
	struct writer w = { .out = out };
	struct path_node *node = root;
	size_t segments = 0;

	while (path.n > 0) {
		struct slice s = slice_from(path, 1), text, ext;
		size_t before = w.n;

		s = slice_head(s, slice_find(s, '/'));
		path = slice_from(path, s.n + 1);
		segment_shape(s, &text, &ext);
		if (g)
			node = descend(g, root, node, &text, &ext);
		put(&w, SLICE_LIT("/"));
		put(&w, text);
		put(&w, ext);
		if (w.full || ++segments > PATH_SEGMENTS_MAX || (g && !node)) {
			w.n = before;
			return cut(&w);
		}
	}
	if (g && !may_end(root, node)) {
		w.n = 0;
		return cut(&w);
	}
	return w.n;
}

size_t path_template(struct slice path, char *out)
{
	path = path_of(path);
	if (path.n == 0 || path.p[0] != '/')
		return as_it_is(path, out);
	return template_make(NULL, NULL, path, out);
}

void path_guard_init(struct path_guard *g)
{
	memset(g, 0, sizeof(*g));
	hash_key_random(&g->key);
}

size_t path_guard_template(struct path_guard *g, uint64_t server, struct slice path, char *out)
{
	struct writer w = { .out = out };
	struct path_node *root;
	bool fresh = false;

	path = path_of(path);
	if (path.n == 0)
		return 0;
	root = node_get(g, NULL, hash_u64(server ^ g->key.k0), &fresh);
	if (!root)
		return cut(&w);
	return path.p[0] == '/' ? template_make(g, root, path, out)
				: name_guarded(g, root, path, out);
}

/* ---- keys ---- */

#define KEY_ROOT UINT64_C(0x6b65797300000000) /* keeps a server's keys apart from its paths */
#define UUID_LEN 36

static const uint8_t separators[256] = {
	[':'] = 1, ['/'] = 1, ['.'] = 1, ['|'] = 1, ['#'] = 1, [','] = 1, [';'] = 1,  ['@'] = 1,
	['='] = 1, ['{'] = 1, ['}'] = 1, ['-'] = 1, ['_'] = 1, [' '] = 1, ['\t'] = 1,
};

static bool printable(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f)
			return false;
	return true;
}

/* The next piece of a key: up to a separator, or a whole UUID, or a secret's mask (<REDACTED_JWT>). */
static struct slice key_piece(struct slice s)
{
	struct slice uuid = slice_head(s, UUID_LEN);
	size_t n = 0;

	if (slice_starts(s, SLICE_LIT("<REDACTED")) && slice_find(s, '>') < s.n)
		return slice_head(s, slice_find(s, '>') + 1);
	if (s.n >= UUID_LEN && (s.n == UUID_LEN || separators[s.p[UUID_LEN]])) {
		struct counts c = count(uuid);

		if (is_uuid(uuid, &c))
			return uuid;
	}
	while (n < s.n && !separators[s.p[n]])
		n++;
	return slice_head(s, n);
}

/* How much of a piece is fixed; behind that stands a star, if that is not all. */
static struct slice piece_fixed(struct slice s)
{
	size_t n = s.n;

	if (is_variable(s) || !printable(s))
		return slice_head(s, 0);
	if (is_version(s))
		return s;
	while (n > 0 && (classes[s.p[n - 1]] & CLS_DIGIT))
		n--;
	return slice_head(s, n);
}

/* One piece into w; the place it stands at, NULL when there is no room. */
static struct path_node *key_step(struct path_guard *g, struct path_node *root,
				  struct path_node *node, struct slice piece, struct slice before,
				  struct writer *w)
{
	struct slice text = piece_fixed(piece), ext = before;
	bool star = text.n < piece.n;

	if (text.n == 0 && star)
		text = SLICE_LIT("*");
	node = descend(g, root, node, &text, &ext);
	put(w, text);
	if (star && !slice_eq_str(text, "*"))
		put(w, SLICE_LIT("*"));
	return node;
}

size_t path_guard_key(struct path_guard *g, uint64_t server, struct slice key, char *out)
{
	static const struct slice more = { (const uint8_t *)"...", 3 };
	struct writer w = { .out = out };
	struct slice before = slice_of(key.p, 0);
	struct path_node *root, *node;
	bool fresh = false;

	root = node = node_get(g, NULL, hash_u64(server ^ g->key.k0 ^ KEY_ROOT), &fresh);
	for (size_t pieces = 0; node && key.n > 0 && !w.full && pieces < PATH_SEGMENTS_MAX;
	     pieces++) {
		struct slice piece = key_piece(key);

		key = slice_from(key, piece.n);
		node = key_step(g, root, node, piece, before, &w);
		before = slice_head(key, 1);
		put(&w, before);
		key = slice_from(key, before.n);
	}
	if (node && key.n == 0 && !w.full && may_end(root, node))
		return w.n;
	if (!node || key.n == 0)
		w.n = 0; /* no room for one more */
	memcpy(out + w.n, more.p, more.n);
	return w.n + more.n;
}
