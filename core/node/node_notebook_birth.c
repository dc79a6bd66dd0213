/* node_notebook_birth: as what a kernel was started, which is what policies see of it. */
#include <stdio.h>
#include <string.h>

#include "fleet/jtext.h"
#include "net/json.h"
#include "node/node_notebook_inner.h"

struct guest_facts notebook_facts(const struct notebook_birth *b, const char *process, int64_t limit_bytes)
{
	return (struct guest_facts){
		.kind = "notebook",
		.id = process,
		.user = b->user,
		.project = b->project[0] ? b->project : NULL,
		.notebook = b->notebook,
		.kernel_spec = b->spec[0] ? b->spec : NULL,
		.tags = b->tags,
		.memory_bytes = limit_bytes,
	};
}

/* 16 digits are enough to tell those of one node apart. */
void notebook_birth_name(struct notebook_birth *b, const char *path)
{
	char hash[DIGEST_HEX_SIZE];
	digest_sha256_hex(path, strlen(path), hash);
	hash[sizeof(b->notebook) - 1] = '\0';
	memcpy(b->notebook, hash, sizeof(b->notebook));
}

void notebook_birth_free(struct notebook_birth *b)
{
	json_decref(b->tags);
	memset(b, 0, sizeof(*b));
}

void notebook_birth_take(struct notebook_birth *to, struct notebook_birth *from)
{
	json_decref(to->tags);
	*to = *from;
	memset(from, 0, sizeof(*from));
}

void notebook_birth_put(const struct notebook_birth *b, struct buf *out)
{
	buf_putc(out, '{');
	jtext_text(out, "user", b->user);
	jtext_some_text(out, "project", b->project);
	jtext_some_text(out, "spec", b->spec);
	jtext_some_text(out, "notebook", b->notebook);
	if (json_array_size(b->tags) > 0) {
		jtext_member(out, "tags");
		json_put(out, b->tags);
	}
	buf_putc(out, '}');
}

void notebook_birth_read(struct notebook_birth *b, const json_t *saved)
{
	json_t *tags = json_object_get(saved, "tags");
	notebook_birth_free(b);
	json_copy_text(saved, "user", b->user, sizeof(b->user));
	json_copy_text(saved, "project", b->project, sizeof(b->project));
	json_copy_text(saved, "spec", b->spec, sizeof(b->spec));
	json_copy_text(saved, "notebook", b->notebook, sizeof(b->notebook));
	b->tags = json_is_array(tags) ? json_incref(tags) : NULL;
}
