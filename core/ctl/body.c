#include "ctl/body.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { KEY_RANDOM = 16, NAME_ROOM = 256 };

int body_client_key(char out[BODY_KEY_ROOM])
{
	unsigned char bytes[KEY_RANDOM];
	size_t at = (size_t)snprintf(out, BODY_KEY_ROOM, "ctl-");
	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return ctl_fail(CTL_FAILED, "unable to get random bytes: %s", strerror(errno));
	for (size_t i = 0; i < sizeof(bytes); i++)
		at += (size_t)snprintf(out + at, BODY_KEY_ROOM - at, "%02x", bytes[i]);
	return CTL_DONE;
}

json_t *body_new(const char *type, json_t *payload)
{
	return json_pack("{s:s, s:o}", "type", type, "payload", payload);
}

void body_text(json_t *body, const char *key, const char *value)
{
	if (value != NULL)
		json_object_set_new(body, key, json_string(value));
}

void body_int(json_t *body, const char *key, int64_t value)
{
	if (value != 0)
		json_object_set_new(body, key, json_integer(value));
}

void body_memory(json_t *body, const char *memory)
{
	if (memory != NULL)
		json_object_set_new(body, "limits", json_pack("{s:s}", "memory", memory));
}

json_t *body_words(char *const *words, int n)
{
	json_t *list = json_array();
	for (int i = 0; i < n; i++)
		json_array_append_new(list, json_string(words[i]));
	if ((int)json_array_size(list) == n)
		return list;
	json_decref(list);
	return NULL;
}

const char *body_split(const char *pair, char *name, size_t room, struct err *err)
{
	const char *eq = strchr(pair, '=');
	if (eq == NULL || eq == pair || (size_t)(eq - pair) >= room) {
		err_set(err, "\"%.60s\" is not NAME=VALUE", pair);
		return NULL;
	}
	memcpy(name, pair, (size_t)(eq - pair));
	name[eq - pair] = '\0';
	return eq + 1;
}

int body_pair(json_t *o, const char *pair, struct err *err)
{
	char name[NAME_ROOM];
	const char *value = body_split(pair, name, sizeof(name), err);
	if (value == NULL)
		return -1;
	return json_object_set_new(o, name, json_string(value)) == 0 ? 0 : err_set(err, "not UTF-8");
}

int body_path(json_t *list, const char *path, struct err *err)
{
	char real[PATH_MAX];
	if (realpath(path, real) == NULL)
		return err_sys(err, errno, "unable to find %s", path);
	return json_array_append_new(list, json_string(real)) == 0 ? 0 : err_set(err, "not UTF-8");
}

bool body_title(char *const *words, int n, char *out, size_t room)
{
	size_t at = 0;
	for (int i = 0; i < n && at + 2 < room; i++)
		at += (size_t)snprintf(out + at, room - at, "%s%s", i > 0 ? " " : "", words[i]);
	if (at >= room) /* cut: not within a character */
		for (at = room - 1; at > 0 && ((unsigned char)out[at - 1] & 0x80) != 0; at--)
			out[at - 1] = '\0';
	for (char *p = out; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
	json_t *text = json_string(out);
	bool is_good = text != NULL && out[0] != '\0';
	json_decref(text);
	return is_good;
}
