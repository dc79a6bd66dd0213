#include "bind/replay.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <lauxlib.h>
#include "base/text.h"
#include "bind/call.h"
#include "bind/config.h"
#include "bind/policies.h"
#include "bind/vm.h"
#include "fleet/ledger_file.h"
#include "net/json.h"
#include "sys/clock.h"
#include "sys/fds.h"
#include "sys/home.h"

#define TEXTS_MAX   ((size_t)16 << 20)
#define FILE_MAX    ((size_t)1 << 20)
#define FILES_MAX   200
#define SETS_MOST   8 /* versions that are loaded at once */
#define OUT_MAX     ((size_t)8 << 20)
#define DIFFERENCES 10

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct set { /* a version of the policies, loaded */
	int64_t version, used;
	struct policies policies;
	bool is_there, is_kept;
};

struct replay {
	const struct replay_config *config;
	struct replay_result *out;
	struct set sets[SETS_MOST];
	int64_t turn;
	int told;
	struct err err;
};

/* --- a folder of policies, wherever it lies --- */

static int is_lua(const struct dirent *e)
{
	size_t n = strlen(e->d_name);
	return n > 4 && e->d_name[0] != '.' && strcmp(e->d_name + n - 4, ".lua") == 0;
}

static int read_file(const char *folder, const char *name, json_t *rows, char *text, struct err *err)
{
	char path[PATH_MAX], shown[NAME_MAX + 16];
	snprintf(path, sizeof path, "%.3800s/%s", folder, name);
	snprintf(shown, sizeof shown, "policies/%s", name);
	ssize_t n = fds_read_file(path, text, FILE_MAX, err);
	if (n < 0)
		return -1;
	json_t *row = json_pack("{s:s, s:s%}", "name", shown, "text", text, (size_t)n);
	if (!row || json_array_append_new(rows, row) < 0)
		return err_set(err, "unable to read %s: it is no UTF-8", path);
	return 0;
}

/* As db/policies.last has them. folder: DIR, or DIR/policies where that is there. */
static int read_folder(const char *folder, struct buf *out, struct err *err)
{
	char inner[PATH_MAX];
	struct dirent **names = NULL;
	json_t *rows = json_array();
	char *text = malloc(FILE_MAX);
	snprintf(inner, sizeof inner, "%.4000s/policies", folder);
	int n = scandir(inner, &names, is_lua, alphasort), rc = 0;
	if (n >= 0)
		folder = inner;
	else
		n = scandir(folder, &names, is_lua, alphasort);
	if (n < 0)
		rc = err_sys(err, errno, "unable to list %s", folder);
	else if (n == 0 || n > FILES_MAX)
		rc = err_set(err, n ? "%s has more than 200 files" : "%s has no .lua files", folder);
	else if (!rows || !text)
		rc = err_set(err, "unable to read %s: no memory", folder);
	for (int i = 0; i < n; i++) {
		if (rc == 0)
			rc = read_file(folder, names[i]->d_name, rows, text, err);
		free(names[i]);
	}
	free(names);
	if (rc == 0 && json_put(out, rows) < 0)
		rc = err_set(err, "unable to read %s: it is too long", folder);
	free(text);
	json_decref(rows);
	return rc;
}

/* --- sets --- */

static int load_texts(struct replay *r, struct set *s, const struct buf *texts, const char *what)
{
	struct buf errors;
	buf_init(&errors, 1 << 16);
	int rc = policies_load_texts(r->config->share, r->config->run_user, texts->data, texts->len, &s->policies, &errors);
	if (rc < 0)
		err_set(&r->err, "unable to load %s: %s", what, errors.data ? errors.data : "?");
	buf_fini(&errors);
	s->is_kept = rc == 0;
	return rc;
}

static int load_last(struct replay *r, struct set *s)
{
	struct buf errors;
	buf_init(&errors, 1 << 16);
	int rc = policies_load(r->config->dir, r->config->share, r->config->run_user, true, &s->policies, &errors);
	if (rc < 0)
		err_set(&r->err, "unable to load db/policies.last: %s", errors.data ? errors.data : "?");
	buf_fini(&errors);
	s->is_kept = rc == 0;
	return rc;
}

static int load_set(struct replay *r, struct set *s, int64_t version)
{
	char path[PATH_MAX], what[64];
	struct buf texts;
	int rc;
	*s = (struct set){ .version = version, .is_there = true };
	if (version == 0 && !r->config->policies)
		return load_last(r, s); /* decided before versions were kept */
	buf_init(&texts, TEXTS_MAX);
	if (r->config->policies) {
		rc = read_folder(r->config->policies, &texts, &r->err);
		if (rc == 0)
			rc = load_texts(r, s, &texts, r->config->policies);
	} else {
		snprintf(path, sizeof path, "%.4000s/db/dss.sqlite", r->config->dir);
		snprintf(what, sizeof what, "version %lld of the policies", (long long)version);
		rc = ledger_file_version(path, version, &texts, &r->err);
		if (rc > 0)
			rc = load_texts(r, s, &texts, what);
	}
	buf_fini(&texts);
	return rc;
}

/* NULL: r->err. */
static struct set *set_of(struct replay *r, int64_t version)
{
	struct set *at = r->sets;
	if (r->config->policies)
		version = 0;
	for (size_t i = 0; i < SETS_MOST; i++) {
		struct set *s = &r->sets[i];
		if (s->is_there && s->version == version) {
			s->used = ++r->turn;
			return s;
		}
		if (!s->is_there || (at->is_there && s->used < at->used))
			at = s;
	}
	if (at->is_there)
		policies_fini(&at->policies);
	if (load_set(r, at, version) < 0)
		return NULL;
	at->used = ++r->turn;
	return at;
}

/* --- one decision --- */

struct ask {
	const struct ledger_line *line;
	bool is_other;
};

static int push_ask(lua_State *L)
{
	const struct ask *a = lua_touserdata(L, 1);
	lua_pushlstring(L, a->line->text, a->line->len);
	lua_pushboolean(L, a->is_other);
	return 2;
}

static void count(struct replay *r, const char *how, const char *difference)
{
	const struct {
		const char *how;
		int64_t *n;
	} counts[] = {
		{ "undecidable", &r->out->undecidable },
		{ "gone", &r->out->gone },
		{ "failed", &r->out->failed },
		{ "core", &r->out->core },
	};
	for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
		if (strcmp(counts[i].how, how) == 0) {
			++*counts[i].n;
			return;
		}
	r->out->replayed++;
	if (strcmp(how, "differs") != 0)
		return;
	r->out->differ++;
	if (difference && r->told < r->config->most_differences)
		buf_printf(&r->out->differences, "%s%s", r->told++ ? "," : "", difference);
}

static int on_line(void *data, const struct ledger_line *line)
{
	struct replay *r = data;
	struct set *s = set_of(r, line->version);
	if (!s)
		return -1;
	if (!s->is_kept) {
		r->out->unkept++;
		return 0;
	}
	struct vm *vm = s->policies.vm;
	lua_State *L = vm_state(vm);
	struct ask a = { line, r->config->policies != NULL };
	if (vm_module(vm, "dss.model.replay", "one", &r->err) < 0)
		return -1;
	lua_pushcfunction(L, push_ask);
	lua_pushlightuserdata(L, &a);
	if (call_run(vm, 1, 2, NULL, &r->err) < 0 || call_run(vm, 2, 2, NULL, &r->err) < 0)
		return err_add(&r->err, "unable to decide %lld again", (long long)line->seq);
	const char *how = lua_tostring(L, -2), *difference = lua_tostring(L, -1);
	count(r, how ? how : "core", difference);
	lua_pop(L, 2);
	return 0;
}

int replay_run(const struct replay_config *config, struct replay_result *out, struct err *err)
{
	struct replay *r = calloc(1, sizeof *r);
	char dir[PATH_MAX];
	memset(out, 0, sizeof *out);
	buf_init(&out->differences, OUT_MAX);
	if (!r)
		return err_set(err, "unable to replay: no memory");
	r->config = config;
	r->out = out;
	snprintf(dir, sizeof dir, "%.4000s/db/ledger", config->dir);
	buf_putc(&out->differences, '[');
	int rc = ledger_file_each(dir, config->since_ms, on_line, r, &r->err);
	buf_putc(&out->differences, ']');
	if (rc < 0 && err)
		*err = r->err;
	for (size_t i = 0; i < SETS_MOST; i++)
		if (r->sets[i].is_there)
			policies_fini(&r->sets[i].policies);
	free(r);
	return rc;
}

/* --- the program --- */

static void print_text(const char *label, const json_t *of)
{
	char answer[128], reason[2400];
	const char *a = json_string_value(json_object_get(of, "answer")), *why = json_string_value(json_object_get(of, "reason"));
	text_escape(answer, sizeof answer, a ? a : "nothing", strlen(a ? a : "nothing"));
	text_escape(reason, sizeof reason, why ? why : "", strlen(why ? why : ""));
	printf("    %s %s%s%s\n", label, answer, reason[0] ? ": " : "", reason);
}

static const char *member(const json_t *row, const char *key, char *out, size_t room)
{
	const char *s = json_string_value(json_object_get(row, key));
	text_escape(out, room, s ? s : "", strlen(s ? s : ""));
	return out;
}

static void print_differences(const struct replay_result *out)
{
	json_t *rows = json_parse(out->differences.data, out->differences.len, NULL), *row;
	size_t i;
	json_array_foreach(rows, i, row)
	{
		char source[300], word[64], name[200], kind[64], subject[300], at[32], inputs[2400];
		char *facts = json_dumps(json_object_get(row, "inputs"), JSON_COMPACT);
		clock_print(json_integer_value(json_object_get(row, "at")), at, sizeof at);
		printf("%s: %s \"%s\" about %s %s at %s\n", member(row, "source", source, sizeof source),
		       member(row, "word", word, sizeof word), member(row, "name", name, sizeof name),
		       member(row, "subjectKind", kind, sizeof kind), member(row, "subject", subject, sizeof subject), at);
		print_text("recorded:", json_object_get(row, "recorded"));
		print_text("now:     ", json_object_get(row, "now"));
		text_escape(inputs, sizeof inputs, facts ? facts : "", strlen(facts ? facts : ""));
		printf("    facts:    %s\n", inputs);
		free(facts);
	}
	if (out->differ > (int64_t)json_array_size(rows))
		printf("… and %lld more\n", (long long)(out->differ - (int64_t)json_array_size(rows)));
	json_decref(rows);
}

static void print_result(const struct replay_result *out, bool is_json)
{
	const struct {
		const char *key;
		int64_t n;
		const char *text;
	} rest[] = {
		{ "undecidable", out->undecidable, "not decidable: they ask for facts that were not recorded" },
		{ "gone", out->gone, "by words that these policies do not have" },
		{ "failed", out->failed, "failed then" },
		{ "unkept", out->unkept, "by versions of the policies that are not kept" },
		{ "core", out->core, "by rules of the core's own, which no policy decides" },
	};
	if (is_json) {
		printf("{\"replayed\":%lld,\"differ\":%lld", (long long)out->replayed, (long long)out->differ);
		for (size_t i = 0; i < sizeof rest / sizeof rest[0]; i++)
			printf(",\"%s\":%lld", rest[i].key, (long long)rest[i].n);
		printf(",\"differences\":%s}\n", out->differences.data);
		return;
	}
	printf("%lld decisions replayed, %lld differ\n", (long long)out->replayed, (long long)out->differ);
	for (size_t i = 0; i < sizeof rest / sizeof rest[0]; i++)
		if (rest[i].n > 0)
			printf("  %lld more: %s\n", (long long)rest[i].n, rest[i].text);
	print_differences(out);
}

static const char usage[] = "usage: dssd replay DIR [--policies DIR] [--since TIME] [--limit N] [--json]\n";

static int complain(const struct err *err)
{
	fprintf(stderr, "dssd: %s\n", err->text);
	return EXIT_FAILED;
}

/* 0, or an exit code. */
static int read_options(int argc, char **argv, struct replay_config *c, bool *is_json)
{
	static const struct option options[] = { { "policies", required_argument, NULL, 'p' },
						 { "since", required_argument, NULL, 's' },
						 { "limit", required_argument, NULL, 'l' },
						 { "json", no_argument, NULL, 'j' },
						 { 0 } };
	struct err err = { 0 };
	int64_t n;
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o == 'p') {
			c->policies = optarg;
		} else if (o == 's' && text_duration(optarg, &n, &err) == 0) {
			c->since_ms = clock_wall_ms() - n;
		} else if (o == 'l' && text_int(optarg, 0, 10000, &n, &err) == 0) {
			c->most_differences = (int)n;
		} else if (o == 'j') {
			*is_json = true;
		} else {
			if (err.text[0])
				complain(&err);
			return fputs(usage, stderr), EXIT_USAGE;
		}
	}
	return optind == argc - 1 ? 0 : (fputs(usage, stderr), EXIT_USAGE);
}

int replay_main(int argc, char **argv)
{
	char dir[PATH_MAX], share[PATH_MAX];
	struct err err = { 0 };
	struct config_node node = { 0 };
	struct replay_result out;
	struct replay_config c = { .most_differences = DIFFERENCES };
	bool is_json = false;
	int code = read_options(argc, argv, &c, &is_json);
	if (code)
		return code;
	if (!realpath(argv[optind], dir))
		return err_sys(&err, errno, "unable to find the instance %s", argv[optind]), complain(&err);
	if (home_share(share, sizeof share) < 0)
		return err_set(&err, "unable to find our own files; set DSS_SHARE to their folder"), complain(&err);
	if (config_node(dir, &node, &err) < 0)
		return complain(&err);
	c.dir = dir;
	c.share = share;
	c.run_user = node.run_user;
	int rc = replay_run(&c, &out, &err);
	if (rc < 0)
		code = complain(&err);
	else
		print_result(&out, is_json);
	if (rc == 0 && (fflush(stdout) != 0 || out.differ > 0))
		code = EXIT_FAILED;
	buf_fini(&out.differences);
	config_node_fini(&node);
	return code;
}
