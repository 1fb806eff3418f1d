/* Changes in, whole sets and changes out: each agent ends with what holds, wherever it began. */
#include "base/text.h"
#include "collector/names.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FIRST 1000

/* What an agent has made of its messages: whether each uid holds. */
struct reader {
	struct names_cursor at;
	bool holds[4096], filling;
	uint64_t version;
	size_t messages, sets;
};

static void tell(struct names *n, int want, bool first, bool last, size_t count, const size_t *uids,
		 bool over)
{
	Kelpie__Names m = KELPIE__NAMES__INIT;
	Kelpie__Entity entities[4096], *list[4096];
	static char names[4096][16];

	m.first = first;
	m.last = last;
	m.entities = list;
	m.n_entities = count;
	for (size_t i = 0; i < count; i++) {
		snprintf(names[i], sizeof(names[i]), "%zu", uids[i]);
		kelpie__entity__init(&entities[i]);
		entities[i].kind = KELPIE__ENTITY_KIND__ENTITY_POD;
		entities[i].uid = names[i];
		entities[i].to_ns = over ? 77 : 0;
		list[i] = &entities[i];
	}
	EXPECT_EQ(names_take(n, &m), want);
}

static void change(struct names *n, size_t uid, bool over)
{
	tell(n, 0, false, false, 1, &uid, over);
}

static void tell_set(struct names *n, size_t from, size_t to)
{
	size_t uids[4096], count = 0;

	for (size_t i = from; i < to; i++)
		uids[count++] = i;
	tell(n, 0, true, true, count, uids, false);
}

static void take(struct reader *r, const Kelpie__Names *m)
{
	r->messages++;
	if (m->first) {
		memset(r->holds, 0, sizeof(r->holds));
		r->filling = true;
		r->sets++;
	}
	for (size_t i = 0; i < m->n_entities; i++) {
		uint64_t uid = 0;

		EXPECT(parse_u64(slice_str(m->entities[i]->uid), &uid) == 0 &&
		       uid < sizeof(r->holds));
		r->holds[uid] = !m->entities[i]->to_ns;
	}
	r->filling &= !m->last;
	r->version = m->version;
}

/* At most `most` messages. */
static void read_some(struct names *n, struct reader *r, size_t most)
{
	struct slice bytes;

	while (most-- && names_next(n, &r->at, &bytes) == 1) {
		Kelpie__CollectorMessage *m = kelpie__collector_message__unpack(NULL, bytes.n,
										bytes.p);

		EXPECT(m && m->kind_case == KELPIE__COLLECTOR_MESSAGE__KIND_NAMES);
		if (m && m->names)
			take(r, m->names);
		kelpie__collector_message__free_unpacked(m, NULL);
	}
}

static size_t held(const struct reader *r)
{
	size_t n = 0;

	for (size_t i = 0; i < sizeof(r->holds); i++)
		n += r->holds[i];
	return n;
}

static void test_names__nothing_before_a_whole_set(void)
{
	static struct reader r;
	struct names *n;
	size_t uid = 5;

	r = (struct reader){ 0 };
	EXPECT_EQ(names_new(FIRST, &n), 0);
	names_want(n, &r.at, 0);
	tell(n, 0, true, false, 1, &uid, false);
	read_some(n, &r, SIZE_MAX);
	EXPECT_EQ(r.messages, 0);
	EXPECT_EQ(names_count(n), 0);
	uid = 6;
	tell(n, 0, false, true, 1, &uid, false);
	read_some(n, &r, SIZE_MAX);
	EXPECT_EQ(r.messages, 1);
	EXPECT(r.holds[5] && r.holds[6]);
	EXPECT_EQ(names_count(n), 2);
	names_leave(n, &r.at);
	names_free(n);
}

static void test_names__a_large_set_comes_in_parts_and_changes_behind_it(void)
{
	static struct reader slow, fast, idle;
	struct names *n;
	struct slice none;

	slow = fast = idle = (struct reader){ 0 };
	EXPECT_EQ(names_new(FIRST, &n), 0);
	tell_set(n, 0, 3 * NAMES_PART + 1);
	names_want(n, &slow.at, 0);
	names_want(n, &fast.at, 0);
	read_some(n, &fast, SIZE_MAX);
	EXPECT_EQ(fast.messages, 4);
	EXPECT_EQ(fast.version, FIRST + 1);
	read_some(n, &slow, 2);
	EXPECT(slow.filling);
	change(n, 0, true);
	change(n, 4000, false);
	read_some(n, &slow, SIZE_MAX);
	read_some(n, &fast, SIZE_MAX);
	EXPECT_EQ(slow.messages, 6);
	EXPECT_EQ(fast.messages, 6);
	EXPECT_EQ(slow.sets, 1);
	for (struct reader *r = &slow; r; r = r == &slow ? &fast : NULL) {
		EXPECT_EQ(held(r), 3 * NAMES_PART + 1);
		EXPECT(!r->holds[0] && r->holds[1] && r->holds[4000] && !r->filling);
		EXPECT_EQ(r->version, FIRST + 3);
	}
	EXPECT_EQ(names_next(n, &idle.at, &none), 0); /* it has not asked */
	names_leave(n, &slow.at);
	names_leave(n, &fast.at);
	names_free(n);
}

/* A stream that broke off is taken up again; one of long ago, or of another collector, begins anew. */
static void test_names__versions(void)
{
	static const struct {
		uint64_t have;
		size_t changes, sets, messages;
	} cases[] = {
		{ FIRST + 1, 3, 0, 3 },
		{ FIRST + 3, 3, 0, 1 },
		{ FIRST + 4, 3, 0, 0 },
		{ FIRST + 5, 3, 1,
		  1 }, /* of the future: of another collector whose clock was ahead */
		{ FIRST, 3, 1, 1 },
		{ 0, 3, 1, 1 },
		{ FIRST + 1, NAMES_RING, 0, NAMES_RING },
		{ FIRST + 1, NAMES_RING + 1, 1, 3 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		static struct reader r;
		struct names *n;

		r = (struct reader){ 0 };
		EXPECT_EQ(names_new(FIRST, &n), 0);
		tell_set(n, 0, 10);
		for (size_t k = 0; k < cases[i].changes; k++)
			change(n, 100 + k, false);
		names_want(n, &r.at, cases[i].have);
		read_some(n, &r, SIZE_MAX);
		EXPECT_EQ(r.sets, cases[i].sets);
		EXPECT_EQ(r.messages, cases[i].messages);
		names_leave(n, &r.at);
		names_free(n);
	}
}

/* The watch began anew: what had ended meanwhile is told to nobody singly. */
static void test_names__a_new_set_replaces_the_old_one(void)
{
	static struct reader done, halfway;
	struct names *n;

	done = halfway = (struct reader){ 0 };
	EXPECT_EQ(names_new(FIRST, &n), 0);
	tell_set(n, 0, 2 * NAMES_PART);
	names_want(n, &done.at, 0);
	names_want(n, &halfway.at, 0);
	read_some(n, &done, SIZE_MAX);
	read_some(n, &halfway, 1);
	tell_set(n, 1, 3);
	read_some(n, &done, SIZE_MAX);
	read_some(n, &halfway, SIZE_MAX);
	EXPECT_EQ(held(&done), 2);
	EXPECT_EQ(held(&halfway), 2);
	EXPECT_EQ(names_count(n), 2);
	tell_set(n, 0, 0);
	read_some(n, &done, SIZE_MAX);
	EXPECT_EQ(held(&done), 0);
	EXPECT_EQ(done.sets, 3);
	names_leave(n, &done.at);
	names_leave(n, &halfway.at);
	names_free(n);
}

static void test_names__what_is_no_entity(void)
{
	Kelpie__Entity e = KELPIE__ENTITY__INIT, *list[] = { &e };
	Kelpie__Names m = KELPIE__NAMES__INIT;
	static struct reader r;
	struct names *n;

	EXPECT_EQ(names_new(FIRST, &n), 0);
	tell_set(n, 0, 2);
	m.entities = list;
	m.n_entities = 1;
	EXPECT_EQ(names_take(n, &m), -EPROTO);
	names_want(n, &r.at, 0);
	read_some(n, &r, SIZE_MAX);
	EXPECT_EQ(r.messages, 0); /* until it has been told anew */
	tell_set(n, 0, 2);
	read_some(n, &r, SIZE_MAX);
	EXPECT_EQ(held(&r), 2);
	names_leave(n, &r.at);
	names_free(n);
}

/* Entities of one object are told apart by place and kind alone; a renewed one is not a second. */
static void test_names__places(void)
{
	static const struct {
		uint8_t addr[4];
		uint32_t port, proto;
		Kelpie__EntityKind kind;
		size_t count;
	} steps[] = {
		{ { 10, 0, 0, 1 }, 80, 6, KELPIE__ENTITY_KIND__ENTITY_ENDPOINT, 1 },
		{ { 10, 0, 0, 1 }, 80, 6, KELPIE__ENTITY_KIND__ENTITY_ENDPOINT, 1 },
		{ { 10, 0, 0, 2 }, 80, 6, KELPIE__ENTITY_KIND__ENTITY_ENDPOINT, 2 },
		{ { 10, 0, 0, 1 }, 81, 6, KELPIE__ENTITY_KIND__ENTITY_ENDPOINT, 3 },
		{ { 10, 0, 0, 1 }, 80, 17, KELPIE__ENTITY_KIND__ENTITY_ENDPOINT, 4 },
		{ { 10, 0, 0, 1 }, 80, 6, KELPIE__ENTITY_KIND__ENTITY_EXTERNAL, 5 },
	};
	struct names *n;

	EXPECT_EQ(names_new(FIRST, &n), 0);
	tell_set(n, 0, 0);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		Kelpie__Entity e = KELPIE__ENTITY__INIT, *list[] = { &e };
		Kelpie__Names m = KELPIE__NAMES__INIT;
		uint8_t addr[4];

		memcpy(addr, steps[i].addr, sizeof(addr));
		e.uid = (char *)(uintptr_t) "u";
		e.addr = (ProtobufCBinaryData){ sizeof(addr), addr };
		e.port = steps[i].port;
		e.proto = steps[i].proto;
		e.kind = steps[i].kind;
		m.entities = list;
		m.n_entities = 1;
		EXPECT_EQ(names_take(n, &m), 0);
		EXPECT_EQ(names_count(n), steps[i].count);
	}
	names_free(n);
}

TEST_MAIN(TEST(test_names__nothing_before_a_whole_set),
	  TEST(test_names__a_large_set_comes_in_parts_and_changes_behind_it),
	  TEST(test_names__versions), TEST(test_names__a_new_set_replaces_the_old_one),
	  TEST(test_names__what_is_no_entity), TEST(test_names__places))
