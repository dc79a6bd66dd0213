#include "node/node_notebook_listener.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

#define LISTENS 0x0A

static const unsigned char v4_begin[12] = { [10] = 0xff, [11] = 0xff };

/* --- where it listens --- */

static bool is_own_address(const char *host)
{
	unsigned char wanted[16], have[16];
	struct ifaddrs *list, *a;
	int family = strchr(host, ':') ? AF_INET6 : AF_INET;
	size_t size = family == AF_INET6 ? 16 : 4;
	bool is_own = false;
	if (inet_pton(family, host, wanted) != 1 || getifaddrs(&list) < 0)
		return false;
	for (a = list; a && !is_own; a = a->ifa_next) {
		if (!a->ifa_addr || a->ifa_addr->sa_family != family)
			continue;
		if (family == AF_INET6)
			memcpy(have, &((const struct sockaddr_in6 *)(const void *)a->ifa_addr)->sin6_addr, size);
		else
			memcpy(have, &((const struct sockaddr_in *)(const void *)a->ifa_addr)->sin_addr, size);
		is_own = memcmp(have, wanted, size) == 0;
	}
	freeifaddrs(list);
	return is_own;
}

static bool read_numbers(const char *host, unsigned char out[16])
{
	memcpy(out, v4_begin, sizeof(v4_begin));
	return inet_pton(AF_INET, host, out + sizeof(v4_begin)) == 1 || inet_pton(AF_INET6, host, out) == 1;
}

bool notebook_listener_read(struct notebook_listener *l, const char *url)
{
	char host[256], own[256] = "";
	const char *at = strstr(url, "://"), *end;
	int64_t port = strncmp(url, "https", 5) == 0 ? 443 : 80;
	at = at ? at + 3 : url;
	bool is_bracketed = *at == '[';
	at += is_bracketed;
	end = at + strcspn(at, is_bracketed ? "]" : ":/");
	if ((size_t)(end - at) >= sizeof(host))
		return false;
	memcpy(host, at, (size_t)(end - at));
	host[end - at] = '\0';
	end += is_bracketed && *end == ']';
	if (*end == ':') {
		char digits[8] = "";
		snprintf(digits, sizeof(digits), "%.*s", (int)strspn(end + 1, "0123456789"), end + 1);
		if (text_int(digits, 1, 65535, &port, NULL) < 0)
			return false;
	}
	gethostname(own, sizeof(own) - 1);
	bool is_here = strcmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 || (own[0] && strcmp(host, own) == 0) ||
		       is_own_address(host);
	*l = (struct notebook_listener){ .port = (int)port };
	l->has_address = read_numbers(host, l->address);
	return is_here;
}

/* --- who listens --- */

struct found {
	bool is_any, is_exact, is_doubtful; /* is_exact: at the very address, not at all of them */
	uid_t uid;
};

/* As the kernel writes it: words of the machine's order. */
static bool read_address(const char *hex, unsigned char out[16])
{
	size_t len = strlen(hex), at = len == 8 ? sizeof(v4_begin) : 0;
	unsigned word;
	memcpy(out, v4_begin, sizeof(v4_begin));
	for (size_t i = 0; i < len; i += 8, at += sizeof(uint32_t)) {
		if ((len != 8 && len != 32) || sscanf(hex + i, "%8x", &word) != 1)
			return false;
		memcpy(out + at, &(uint32_t){ word }, sizeof(uint32_t));
	}
	return len > 0;
}

static bool is_all_addresses(const unsigned char a[16])
{
	static const unsigned char none[16];
	return memcmp(a, none, 16) == 0 || (memcmp(a, v4_begin, sizeof(v4_begin)) == 0 && memcmp(a + 12, none, 4) == 0);
}

static void take(const struct notebook_listener *l, const unsigned char address[16], uid_t uid, struct found *f)
{
	bool is_exact = l->has_address && memcmp(address, l->address, 16) == 0;
	if (l->has_address && !is_exact && !is_all_addresses(address))
		return;
	if (f->is_any && f->is_exact && !is_exact)
		return;
	bool is_nearer = is_exact && !f->is_exact;
	*f = (struct found){ true, is_exact, !is_nearer && (f->is_doubtful || (f->is_any && f->uid != uid)), uid };
}

static void look_at(const struct notebook_listener *l, const char *table, struct found *found)
{
	char line[512], hex[33];
	unsigned char address[16];
	unsigned port, state, uid;
	FILE *f = fopen(table, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, " %*d: %32[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*x:%*x %*x:%*x %*x %u", hex, &port, &state, &uid) ==
			    4 &&
		    port == (unsigned)l->port && state == LISTENS && read_address(hex, address))
			take(l, address, (uid_t)uid, found);
	if (f)
		fclose(f);
}

bool notebook_listener_user(const struct notebook_listener *l, uid_t *uid)
{
	struct found found = { 0 };
	look_at(l, "/proc/self/net/tcp", &found);
	look_at(l, "/proc/self/net/tcp6", &found);
	*uid = found.uid;
	return found.is_any && !found.is_doubtful;
}
