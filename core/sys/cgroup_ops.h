#ifndef DSS_SYS_CGROUP_OPS_H
#define DSS_SYS_CGROUP_OPS_H
#include "sys/cgroup.h"
#include "base/map.h"
/*
 * cgroup_ops: what cgroup.c and the modes share; private to cgroup*.c. Each mode fills a table of functions. Paths
 * have been checked by cgroup.c before they come here.
 */

enum cgroup_ctl { /* what a hierarchy can do; a mount may carry several */
		  CGROUP_CTL_V2 = 1,
		  CGROUP_CTL_MEMORY = 2,
		  CGROUP_CTL_PIDS = 4,
		  CGROUP_CTL_CPU = 8,
		  CGROUP_CTL_CPUACCT = 16,
		  CGROUP_CTL_FREEZER = 32,
};

#define CGROUP_DIRS_MAX 6

struct cgroup_dir {      /* our root in one hierarchy */
	unsigned ctls;   /* of enum cgroup_ctl */
	int fd;          /* O_PATH directory */
	char where[512]; /* absolute */
	bool is_new;     /* made by this handle: goes again where opening fails */
};

struct cgroup_ops {
	int (*make)(struct cgroup *cg, const char *path, struct err *err);
	int (*set)(struct cgroup *cg, const char *path, enum cgroup_knob knob, int64_t value, struct err *err);
	int (*birth)(struct cgroup *cg, const char *path, struct cgroup_birth *out, struct err *err);
	int (*attach)(struct cgroup *cg, const char *path, pid_t pid, struct err *err);
	int (*usage)(struct cgroup *cg, const char *path, struct cgroup_usage *out, struct err *err);
	int (*tally)(struct cgroup *cg, const char *path, bool with_refused, struct cgroup_usage *out, struct err *err);
	/* Fills kills, level and event of the present; nlevels and epoch are set. is_end: for cgroup_oom_since, nothing is taken for known. */
	int (*count)(struct cgroup *cg, const char *path, bool is_end, struct cgroup_mark *now, struct err *err);
	int64_t (*cpu_ms)(const struct cgroup *cg, const char *path); /* -1 = cannot be read; NULL in mode none */
	int64_t (*limit_bytes)(struct cgroup *cg, const char *path);  /* -1 = none */
	int (*oom_fd)(struct cgroup *cg, const char *path, struct err *err);
	void (*oom_drain)(struct cgroup *cg, const char *path, int fd); /* NULL where there is no oom_fd */
	int (*kill)(struct cgroup *cg, const char *path, struct err *err);
	int (*freeze)(struct cgroup *cg, const char *path, bool on, struct err *err);
	int (*is_empty)(struct cgroup *cg, const char *path, struct err *err);
	int (*members)(struct cgroup *cg, const char *path, pid_t *out, int room, struct err *err);
	int (*remove)(struct cgroup *cg, const char *path, struct err *err);
	int (*each)(struct cgroup *cg, cgroup_fn *fn, void *data, struct err *err);
	void (*close)(struct cgroup *cg); /* frees `own` */
};

struct cgroup {
	enum cgroup_mode mode;
	const struct cgroup_ops *ops;
	char name[160];
	unsigned knobs; /* 1 << enum cgroup_knob */
	uint64_t epoch;
	struct cgroup_dir dirs[CGROUP_DIRS_MAX]; /* made in this order, removed in the other: dirs[0] is the list of boxes */
	int ndirs;
	int base_fd; /* v2: the directory above our root; else -1 */
	char base[512];
	int ngauges;      /* cgroup_gauge: with open files */
	bool is_swapless; /* v1: whatever is made has swappiness 0 by itself */
	bool is_inside;   /* the caller itself lives in one of our boxes, namely: */
	char inside[CGROUP_PATH_MAX];
	struct map *own; /* the mode's: v1 struct level, none struct box, v2 struct known; by path */
};

extern const struct cgroup_ops cgroup_v1_ops, cgroup_hybrid_ops, cgroup_v2_ops, cgroup_none_ops;

/* Fill dirs, knobs and base of a new handle: 0 or -1. note as in cgroup_open. */
int cgroup_v1_open(struct cgroup *cg, bool with_v2, struct err *err);
int cgroup_v2_open(struct cgroup *cg, char *note, size_t room, struct err *err);
int cgroup_none_open(struct cgroup *cg, struct err *err);

/* cgroup.c: the hierarchy that carries ctl, or NULL. */
const struct cgroup_dir *cgroup_dir_of(const struct cgroup *cg, unsigned ctl);
/* cgroup.c: remembers where the caller lives. */
void cgroup_set_inside(struct cgroup *cg, const char *path);
/* cgroup.c: for the modes that have directories; the first of them lists all boxes. */
int cgroup_dirs_members(struct cgroup *cg, const char *path, pid_t *out, int room, struct err *err);
int cgroup_dirs_each(struct cgroup *cg, cgroup_fn *fn, void *data, struct err *err);
/* cgroup.c: path's parent in place ("a/b" → "a", "a" → ""); false at the root. */
bool cgroup_parent(char *path);
/* Whether path is `top` or below it ("" is above all). */
bool cgroup_is_within(const char *path, const char *top);

/* cgroup_v1_oom.c; count and oom_fd as in the table above. */
int cgroup_v1_count(struct cgroup *cg, const char *path, bool is_end, struct cgroup_mark *now, struct err *err);
int cgroup_v1_oom_fd(struct cgroup *cg, const char *path, struct err *err);
void cgroup_v1_oom_drain(struct cgroup *cg, const char *path, int fd);
int64_t cgroup_v1_oom_kills(const struct cgroup *cg, const char *path); /* -1: cannot be read */
/* What this handle knows of a box without reading; all best effort. */
void cgroup_v1_born(struct cgroup *cg, const char *path);                    /* it was made just now */
bool cgroup_v1_is_pristine(const struct cgroup *cg, const char *path);       /* has all the kernel's defaults */
void cgroup_v1_limited(struct cgroup *cg, const char *path, bool by_memory); /* a limit was set; by_memory: one of memory */
void cgroup_v1_use(struct cgroup *cg, const char *path);                     /* somebody is about to live there */
void cgroup_v1_forget(struct cgroup *cg, const char *path);                  /* it and all below */

/* cgroup_v2.c, used by hybrid too. */
int cgroup_v2_kill(struct cgroup *cg, const char *path, struct err *err);
int cgroup_v2_freeze(struct cgroup *cg, const char *path, bool on, struct err *err);
int cgroup_v2_is_empty(struct cgroup *cg, const char *path, struct err *err);

#endif
