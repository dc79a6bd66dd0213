#include "sys/cgroup_gauge.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include "sys/cgroup_ops.h"
#include "sys/cgroup_tree.h"
#include "sys/fds.h"

#define FDS_EACH  2
#define FDS_SHARE 8

static const struct files {
	enum cgroup_ctl ctl;
	const char *current, *peak, *inactive;
} v1_files = { CGROUP_CTL_MEMORY, "memory.usage_in_bytes", "memory.max_usage_in_bytes", "total_inactive_file" },
  v2_files = { CGROUP_CTL_V2, "memory.current", "memory.peak", "inactive_file" };

void cgroup_gauge_close(struct cgroup *cg, struct cgroup_gauge *g)
{
	if (g->current_fd >= 0)
		cg->ngauges--;
	fds_close(&g->current_fd);
	fds_close(&g->stat_fd);
}

static bool has_room(const struct cgroup *cg)
{
	struct rlimit most;
	return getrlimit(RLIMIT_NOFILE, &most) == 0 && (rlim_t)(cg->ngauges + 1) * FDS_EACH <= most.rlim_cur / FDS_SHARE;
}

static int open_both(struct cgroup *cg, int root, const char *path, const struct files *f, struct cgroup_gauge *g)
{
	if (g->current_fd >= 0)
		return 0;
	g->current_fd = cgroup_tree_open(root, path, f->current, O_RDONLY);
	if (g->current_fd < 0)
		return -1;
	cg->ngauges++;
	g->stat_fd = cgroup_tree_open(root, path, "memory.stat", O_RDONLY);
	return g->stat_fd < 0 ? -1 : 0;
}

static int read_memory(const struct cgroup_gauge *g, const struct files *f, struct cgroup_usage *out)
{
	char text[CGROUP_FILE_MAX];
	if (cgroup_tree_read_fd(g->current_fd, text) <= 0)
		return -1;
	out->current_bytes = strtoll(text, NULL, 10);
	if (cgroup_tree_read_fd(g->stat_fd, text) <= 0)
		return -1;
	int64_t inactive = cgroup_tree_key(text, f->inactive);
	if (inactive >= 0)
		out->memory_bytes = out->current_bytes > inactive ? out->current_bytes - inactive : 0;
	return 0;
}

int cgroup_gauge_read(struct cgroup *cg, const char *path, struct cgroup_gauge *g, bool keep, bool with_rest,
		      struct cgroup_usage *out, struct err *err)
{
	if (cg->mode == CGROUP_NONE)
		return cgroup_usage(cg, path, out, err);
	const struct files *f = cg->mode == CGROUP_V2 ? &v2_files : &v1_files;
	int root = cgroup_dir_of(cg, f->ctl)->fd;
	memset(out, 0xff, sizeof(*out)); /* all fields -1 */
	keep = keep && (g->current_fd >= 0 || has_room(cg));
	int rc = open_both(cg, root, path, f, g) < 0 || read_memory(g, f, out) < 0 ? -1 : 0;
	int errnum = errno;
	if (rc < 0 || !keep)
		cgroup_gauge_close(cg, g);
	if (rc < 0)
		return err_sys(err, errnum, "unable to read the memory of box \"%s\"", path);
	if (with_rest) {
		out->peak_bytes = cgroup_tree_int(root, path, f->peak);
		out->cpu_ms = cg->ops->cpu_ms(cg, path);
	}
	return 0;
}
