#ifndef DSS_FLEET_DIE_H
#define DSS_FLEET_DIE_H
/*
 * die: for the specs: the backend ends itself by SIGKILL at a named point of taking up, as if somebody had killed it there.
 *
 *     backend { env = { DSS_SPECS = "1", DSS_DIE_AT = "task_sent" } }         in config/dss.lua
 *
 * Once: run/died-at-NAME is made before (the working directory is the instance's folder). Without both variables nothing happens.
 *
 * submit_committed  the task is on the disk, its submitter has no answer     task_ordered    nothing is on its way to the kernel yet
 * task_sent         the kernel has it, its 202 was not looked at            task_accepted   the 202 was taken
 * result_read       the result is here, nothing was written                  result_written  in the transaction, before its commit
 * result_committed  the kernel does not know that it may forget it           spawn_ordered   ordered, perhaps not sent
 * spawn_answered    the keeper said that it knows the process                end_committed   an exit is on disk, not acknowledged
 *
 * Of a job's activity: activity_committed  its row is on disk, no process was ordered     activity_ordered   ordered, perhaps not sent
 *                      activity_answered   the keeper knows it, its kernel was not told   activity_ended     its end is on disk, not acknowledged
 *                      activity_waiting    it stands in line, its kernel was not told     activity_placed    it has its place, nothing is on disk
 * Of a notebook's kernel: notebook_granted  its place is on disk, its server has no answer     notebook_ordered  its box is ordered, perhaps not sent
 *                         notebook_boxed    it is in its box, nothing of that is on disk
 */
void die_at(const char *point);

#endif
