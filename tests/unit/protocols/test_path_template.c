#include "base/path_template.h"
#include "tests/lib/test.h"

static void expect(const char *path, const char *want)
{
	char out[PATH_TEMPLATE_MAX];
	size_t n = path_template(slice_str(path), out);

	EXPECT_MEM(out, n, want, strlen(want));
}

static void test_path_template__segments(void)
{
	expect("/", "/");
	expect("", "");
	expect("/users", "/users");
	expect("/users/", "/users/");
	expect("/users/42", "/users/*");
	expect("/v1/users/42/orders/7f3a91c2", "/v1/users/*/orders/*");
	expect("/o/550e8400-e29b-41d4-a716-446655440000/x", "/o/*/x");
	expect("/deadbeef/cafe/0badcafe", "/deadbeef/cafe/*");
	expect("/api/v12/oauth2/s3/item-7", "/api/v12/oauth2/s3/item-7");
	expect("/static/app.3f2a9b1c.js", "/static/*.js");
	expect("/static/app.js", "/static/app.js");
	expect("/static/main-3f2a9b1c.css", "/static/*.css");
	expect("/img/12345.png", "/img/*.png");
	expect("/u/ann@example.com", "/u/*");
	expect("/u/a%20b", "/u/*");
	expect("/very-long-name-of-20-1-2", "/*");
	expect("//a//1//", "//a//*//");
}

static void test_path_template__targets(void)
{
	expect("/a/1?q=2#f", "/a/*");
	expect("/a#f?x", "/a");
	expect("http://h:80/a/1?x", "/a/*");
	expect("https://h", "/");
	expect("*", "*");
	expect("shop:443", "shop:443");
}

static void test_path_template__bounds(void)
{
	char path[4096], out[PATH_TEMPLATE_MAX];
	size_t n;

	for (size_t i = 0; i < sizeof(path); i++)
		path[i] = i % 8 == 0 ? '/' : 'a';
	n = path_template(slice_of(path, sizeof(path)), out);
	EXPECT(n <= sizeof(out));
	EXPECT_MEM(out + n - 4, 4, "/...", 4);
	EXPECT_EQ(n, PATH_SEGMENTS_MAX * 8 + 4);
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	n = path_template(slice_of(path, sizeof(path)), out);
	EXPECT_MEM(out, n, "/*", 2);
	n = path_template(slice_of(path + 1, 4000), out);
	EXPECT_EQ(n, PATH_TEMPLATE_MAX);
}

static struct path_guard guard;

/* names that a form says nothing about: a letter code for each number */
static size_t named(uint64_t server, int i, char *out)
{
	char path[64] = "/shop/xxxx/info";

	for (int k = 0; k < 4; k++, i /= 20)
		path[6 + k] = (char)('g' + i % 20);
	return path_guard_template(&guard, server, slice_str(path), out);
}

static void test_path_guard__collapses(void)
{
	char out[PATH_TEMPLATE_MAX];
	size_t n;

	path_guard_init(&guard);
	for (int i = 0; i < PATH_GUARD_CHILDREN; i++) {
		n = named(1, i, out);
		EXPECT_EQ(n, 15);
		EXPECT(memchr(out, '*', n) == NULL);
	}
	n = named(1, PATH_GUARD_CHILDREN, out);
	EXPECT_MEM(out, n, "/shop/*/info", 12);
	n = named(1, 0, out);
	EXPECT_MEM(out, n, "/shop/*/info", 12);
	n = named(2, 0, out);
	EXPECT_EQ(n, 15);
	n = path_guard_template(&guard, 1, SLICE_LIT("/shop/5/info"), out);
	EXPECT_MEM(out, n, "/shop/*/info", 12);
}

static void test_path_guard__templates_of_a_server(void)
{
	char out[PATH_TEMPLATE_MAX];
	size_t n, cut = 0;

	path_guard_init(&guard);
	for (int i = 0; i < 60; i++)
		for (int j = 0; j < 10; j++) {
			char path[32] = "/pa/qa";

			path[1] = (char)('g' + i % 20);
			path[2] = (char)('g' + i / 20);
			path[5] = (char)('g' + j);
			n = path_guard_template(&guard, 9, slice_str(path), out);
			cut += n == 4 && memcmp(out, "/...", 4) == 0;
		}
	EXPECT_EQ(cut, 600 - PATH_GUARD_TEMPLATES);
	n = path_guard_template(&guard, 10, SLICE_LIT("/other/3"), out);
	EXPECT_MEM(out, n, "/other/*", 8);
}

static void test_path_guard__full(void)
{
	char out[PATH_TEMPLATE_MAX];
	size_t n = 0;

	path_guard_init(&guard);
	for (int i = 0; i < 3 * PATH_GUARD_NODES; i++)
		n = path_guard_template(&guard, (uint64_t)i, SLICE_LIT("/a/b"), out);
	EXPECT(guard.n < PATH_GUARD_NODES);
	EXPECT_MEM(out, n, "/...", 4);
	n = path_guard_template(&guard, 0, SLICE_LIT("/a/b"), out);
	EXPECT_MEM(out, n, "/a/b", 4);
}

/* A scanner asks one server for names it makes up. */
static void test_path_guard__one_server_cannot_fill_it(void)
{
	char path[64], out[PATH_TEMPLATE_MAX];
	size_t n;

	path_guard_init(&guard);
	for (int i = 0; i < 99; i++)
		for (int k = 0; k < 99; k++) {
			n = (size_t)snprintf(path, sizeof(path), "/%c%c/%c%c", 'a' + i / 10,
					     'k' + i % 10, 'a' + k / 10, 'k' + k % 10);
			(void)path_guard_template(&guard, 80, slice_of(path, n), out);
		}
	EXPECT(guard.n <= PATH_GUARD_SERVER_NODES + 1);
	n = path_guard_template(&guard, 443, SLICE_LIT("/shop/cart"), out);
	test_check_mem(out, n, "/shop/cart", 10, __FILE__, __LINE__, "another server");
}

/* A client may ask for what is no path too: `GET made-up HTTP/1.1`, CONNECT to any host. */
static void test_path_guard__targets_that_are_no_paths(void)
{
	char target[32], out[PATH_TEMPLATE_MAX];
	size_t n, stars = 0;

	path_guard_init(&guard);
	for (int i = 0; i < 1000; i++) {
		n = (size_t)snprintf(target, sizeof(target), "%c%c%c:443", 'g' + i % 10,
				     'g' + i / 10 % 10, 'g' + i / 100);
		n = path_guard_template(&guard, 80, slice_of(target, n), out);
		stars += n == 1 && out[0] == '*';
	}
	EXPECT_EQ(stars, 1000 - PATH_GUARD_CHILDREN);
	n = path_guard_template(&guard, 81, SLICE_LIT("shop:443"), out);
	EXPECT_MEM(out, n, "shop:443", 8);
	n = path_guard_template(&guard, 80, SLICE_LIT("/shop/cart"), out);
	EXPECT_MEM(out, n, "/shop/cart", 10);
}

static void key_shape(const char *key, const char *want)
{
	char out[PATH_TEMPLATE_MAX];
	size_t n = path_guard_key(&guard, 6379, slice_str(key), out);

	test_check_mem(out, n, want, strlen(want), __FILE__, __LINE__, key);
}

static void test_path_guard__keys(void)
{
	path_guard_init(&guard);
	key_shape("user:42:cart", "user:*:cart");
	key_shape("user:42", "user:*");
	key_shape("user:<REDACTED_EMAIL>:cart", "user:*:cart");
	key_shape("session:<REDACTED_JWT>", "session:*");
	key_shape("a:<REDACTED_", "a:*_");
	key_shape("user42", "user*");
	key_shape("42", "*");
	key_shape("cart", "cart");
	key_shape("key:000000001234", "key:*");
	key_shape("key_17.total", "key_*.total");
	key_shape("api:v2:users", "api:v2:users");
	key_shape("s:6ba7b810-9dad-11d1-80b4-00c04fd430c8:x", "s:*:x");
	key_shape("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "*");
	key_shape("day:2026-11-27", "day:*-*-*");
	key_shape("etag:deadbeef01", "etag:*");
	key_shape("feedface", "feedface"); /* a word may be hexadecimal */
	key_shape("{user:7}.cart", "{user:*}.cart");
	key_shape("bin:\x01\xff", "bin:*");
	key_shape(":", ":");
	key_shape("a::b", "a::b");
	key_shape("", "");
}

/* Names and slugs have no form: where there are too many of them they become a star too. */
static void test_path_guard__many_keys(void)
{
	char key[64], out[PATH_TEMPLATE_MAX], longest[1024];
	size_t n = 0;

	path_guard_init(&guard);
	for (int i = 0; i < 1000; i++) {
		n = (size_t)snprintf(key, sizeof(key), "session:%c%c%c", 'g' + i % 10,
				     'g' + i / 10 % 10, 'g' + i / 100);
		n = path_guard_key(&guard, 6379, slice_of(key, n), out);
	}
	EXPECT_MEM(out, n, "session:*", 9);
	n = path_guard_key(&guard, 6380, slice_str("session:xyz"), out);
	EXPECT_MEM(out, n, "session:xyz", 11);
	memset(longest, ':', sizeof(longest));
	n = path_guard_key(&guard, 6379, slice_of(longest, sizeof(longest)), out);
	EXPECT(n > 3 && n <= PATH_TEMPLATE_MAX && memcmp(out + n - 3, "...", 3) == 0);
	memset(longest, 'x', sizeof(longest));
	n = path_guard_key(&guard, 6379, slice_of(longest, sizeof(longest)), out);
	EXPECT_MEM(out, n, "*", 1);
}

TEST_MAIN(TEST(test_path_guard__keys), TEST(test_path_guard__many_keys),
	  TEST(test_path_template__segments), TEST(test_path_template__targets),
	  TEST(test_path_template__bounds), TEST(test_path_guard__collapses),
	  TEST(test_path_guard__templates_of_a_server), TEST(test_path_guard__full),
	  TEST(test_path_guard__one_server_cannot_fill_it),
	  TEST(test_path_guard__targets_that_are_no_paths))
