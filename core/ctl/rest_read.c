/* rest_read: what an answer of rest.h says. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "ctl/rest.h"

/* --- reading --- */

const char *rest_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s != NULL ? s : "";
}

double rest_number(const json_t *o, const char *key, double otherwise)
{
	const json_t *v = json_object_get(o, key);
	return json_is_number(v) ? json_number_value(v) : otherwise;
}

bool rest_is(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

int rest_escape(const char *s, char *out, size_t room)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	size_t at = 0;
	for (; *s != '\0'; s++) {
		if (at + 4 > room)
			return -1;
		at += (size_t)sprintf(out + at, strchr(plain, *s) != NULL ? "%c" : "%%%02X", (unsigned char)*s);
	}
	out[at] = '\0';
	return 0;
}

void rest_answer_fini(struct rest_answer *a)
{
	buf_fini(&a->body);
	buf_fini(&a->head);
	json_decref(a->json);
	a->json = NULL;
}

double rest_field(const struct rest_answer *a, const char *name, double otherwise)
{
	size_t len = strlen(name);
	for (const char *line = a->head.data; line != NULL && *line != '\0';
	     line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (strncasecmp(line, name, len) == 0 && line[len] == ':')
			return strtod(line + len + 1, NULL);
	return otherwise;
}

static int code_of(long status)
{
	return status == 400                    ? CTL_USAGE
	       : status == 401 || status == 403 ? CTL_NOT_ALLOWED
	       : status == 404                  ? CTL_NOT_FOUND
						: CTL_FAILED;
}

int rest_refused(const struct rest_answer *a)
{
	char text[2000];
	const char *said = rest_text(a->json, "message");
	if (said[0] == '\0')
		said = rest_text(a->json, "detailedMessage");
	bool is_told = said[0] != '\0';
	if (!is_told)
		said = a->body.data != NULL && a->body.len > 0 ? a->body.data : "no reason given";
	text_escape(text, sizeof(text), said, strlen(said));
	if (a->status == 401 && is_told)
		return ctl_fail(CTL_NOT_ALLOWED,
				"%s. The key is that of --key-file, else DSS_KEY, else config/admin.key; an admin makes one: "
				"dssctl key add USER",
				text);
	if (is_told) /* says all there is to know */
		return ctl_fail(code_of(a->status), "%s", text);
	return ctl_fail(code_of(a->status), "%s (status %ld)", text, a->status);
}

int rest_check_list(const json_t *answer)
{
	return json_is_array(answer) ? CTL_DONE : ctl_fail(CTL_FAILED, "unable to understand the backend's answer: it is no list");
}
