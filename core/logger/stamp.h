#ifndef DSS_LOGGER_STAMP_H
#define DSS_LOGGER_STAMP_H
/*
 * stamp: `dss-logger stamp [--name ACTIVITY] [--folder PATH]… -- ARGV…` runs a recipe's program and puts the time and its stream before each
 * line that it prints:
 *
 *     [2026/01/31-13:05:09.123] [null-out-4711] [INFO] [act.clean_NP]  - text
 *
 * It lives in the recipe's own box and as its user; makes the folders first; ends as the program ended, with its status or by its signal, and
 * does not wait for what the program left behind: the keeper ends the rest of the box. TERM, INT and HUP are passed on. Control characters
 * become '?', lines over 16 KB are cut into several.
 */
int stamp_main(int argc, char **argv); /* argv[0] is "stamp"; the exit status */

#endif
