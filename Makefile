# dssd: the process control plane of a data-science node. `make help` tells the targets.
BUILD     ?= build
PREFIX    ?= /usr/local
DESTDIR   ?=
CC        ?= gcc
WARN      := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wvla $(if $(CI),-Werror)
SAN       ?=
# no: without the page; nothing of Node.js is needed then
WEB       ?= yes
CFLAGS    ?= -O2 -g
VERSION   := $(shell sed -n 's/^\#\# \([0-9][^ ]*\).*/\1/p' CHANGES.md 2>/dev/null | head -n 1)
ALL_CFLAGS := -std=gnu11 -D_GNU_SOURCE -fPIC -fno-strict-aliasing $(WARN) $(CFLAGS) $(SAN) -Icore -I$(BUILD) -I/usr/include/lua5.4 \
              -DDSS_VERSION='"$(or $(VERSION),0.0.0)"'
LDFLAGS   += $(SAN)

LIB        = $(foreach d,$(1),$(BUILD)/lib/$(d).a)
BACKEND_LIBS := -lev -lsqlite3 -lhttp_parser -lcurl -lcrypto -ljansson -llua5.4 -lpthread -lm
BINARIES  := $(BUILD)/dss-keeper $(BUILD)/dss-logger $(BUILD)/dssd $(BUILD)/dssctl
TESTMODS  := $(patsubst spec/binding/%.c,$(BUILD)/spec/%.so,$(wildcard spec/binding/t_*.c))

.PHONY: all java pyc specs setup run test test-vm check lint asan bench install clean help format web screenshots
.DELETE_ON_ERROR:

all: setup $(BINARIES) java pyc
	@echo "$(BUILD)/ is built. Try it: make run   An instance: $(BUILD)/dssctl init DIR   Further: make help"

# kernels/java/build.sh decides itself whether anything changed
java: $(BUILD)/.setup
	@sh kernels/java/build.sh $(BUILD)

help:
	@sed -n 's/^#: //p' Makefile

#: all      build the four binaries into build/, with the page in them (WEB=no: without)
#: run      install what is needed, build, start a demo instance in ./instance, send it real work
#: test     every spec this machine can run; ends with "N passed, N failed"
#: test-vm  the cgroup v2 half in a small virtual machine
#: check    specs that need no daemon (seconds)
#: lint     clang-format, clang-tidy, luacheck, types of the page, include and require layers
#: screenshots  pictures of every page of a demo instance at work, into docs/img
#: asan     the same specs under AddressSanitizer and UBSan
#: bench    tables beside peers measured in the same run
#: install  into PREFIX (default /usr/local); DESTDIR is honoured
#: clean    remove build/

setup: $(BUILD)/.setup
$(BUILD)/.setup: etc/setup.sh
	@WEB=$(WEB) sh etc/setup.sh build
	@mkdir -p $(BUILD) && touch $@

# kernels run as a user who may not write here: without this every start compiles anew
pyc: $(BUILD)/.setup
	@/usr/bin/python3 -m compileall -q kernels/python/kernel kernels/python/tasks kernels/python/doctor kernels/jupyter/dss_jupyter

# --- objects and one archive per folder ---
define FOLDER
$(BUILD)/lib/$(1).a: $(patsubst core/%.c,$(BUILD)/obj/%.o,$(wildcard core/$(1)/*.c))
	@mkdir -p $$(@D)
	@rm -f $$@
	@ar rcs $$@ $$^
endef
FOLDERS := base sys keeper logger net fleet gate node bind ctl
$(foreach d,$(FOLDERS),$(eval $(call FOLDER,$(d))))

# --- the page: bundled by web/build.mjs, its files in the binary through $(BUILD)/web/pages_data.c ---
WEB_DATA := $(BUILD)/web/pages_data.c
ifeq ($(WEB),no)
$(WEB_DATA): $(BUILD)/web/.page-no
	@printf '%s\n' '#include "gate/pages.h"' 'const struct pages_set pages_built = { 0, 0, "" };' >$@
else
$(WEB_DATA): $(shell find web/src -type f 2>/dev/null) web/build.mjs web/node_modules/.installed $(BUILD)/web/.page-$(WEB)
	@echo "  web $(BUILD)/web"
	@flock -s web node web/build.mjs --out $(BUILD)/web
endif
# Another WEB than last time: made anew.
$(BUILD)/web/.page-$(WEB): | $(BUILD)/.setup
	@mkdir -p $(@D) && rm -f $(@D)/.page-* && touch $@
web/node_modules/.installed: web/package.json web/package-lock.json web/.npmrc | $(BUILD)/.setup
	@sh web/packages.sh
web: $(WEB_DATA)
$(BUILD)/obj/web/pages_data.o: $(WEB_DATA) core/gate/pages.h
	@mkdir -p $(@D)
	@echo "  cc $<"
	@$(CC) $(ALL_CFLAGS) -c -o $@ $<
$(BUILD)/lib/gate.a: $(BUILD)/obj/web/pages_data.o

$(BUILD)/obj/%.o: core/%.c Makefile | $(BUILD)/.setup
	@mkdir -p $(@D)
	@echo "  cc $<"
	@$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/dss-keeper: $(BUILD)/obj/dss-keeper.o $(call LIB,keeper sys base)
	@echo "  ld $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lev
# Not to be read by those that it starts: so the launcher of a kernel is closed to others of its user from its exec on (docs/security.md).
$(BUILD)/dss-logger: $(BUILD)/obj/dss-logger.o $(call LIB,logger keeper sys base)
	@echo "  ld $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lev && chmod 711 $@
$(BUILD)/dssd: $(BUILD)/obj/dssd.o $(call LIB,bind node gate fleet net keeper sys base)
	@echo "  ld $@"
	@$(CC) $(LDFLAGS) -Wl,-E -o $@ $^ $(BACKEND_LIBS)
$(BUILD)/dssctl: $(BUILD)/obj/dssctl.o $(call LIB,ctl net keeper sys base)
	@echo "  ld $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -lev -lcurl -lcrypto -ljansson -lhttp_parser -ledit

# --- the specs' windows into C: one Lua module per spec/binding/t_*.c ---
$(BUILD)/spec/%.so: spec/binding/%.c $(call LIB,bind node gate fleet net logger keeper sys base)
	@mkdir -p $(@D)
	@echo "  ld $@"
	@$(CC) $(ALL_CFLAGS) $(LDFLAGS) -shared -MMD -MP -MF $@.d -o $@ $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(filter-out -llua5.4,$(BACKEND_LIBS))

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

test: $(BUILD)/.setup-test
	@$(MAKE) --no-print-directory -j2 BUILD=$(BUILD) all specs
	@WEB=$(WEB) LINT=types sh etc/lint.sh
	@BUILD=$(BUILD) DSS_BUILD=$(BUILD) sh spec/run.sh
check: $(BUILD)/.setup-test
	@$(MAKE) --no-print-directory -j2 BUILD=$(BUILD) all specs
	@BUILD=$(BUILD) DSS_BUILD=$(BUILD) sh spec/run.sh quick
test-vm: $(BUILD)/.setup-test
	@$(MAKE) --no-print-directory -j2 BUILD=$(BUILD) all specs
	@BUILD=$(BUILD) DSS_BUILD=$(BUILD) sh spec/vm/run.sh
specs: $(TESTMODS)
$(BUILD)/.setup-test: etc/setup.sh
	@WEB=$(WEB) sh etc/setup.sh test
	@mkdir -p $(BUILD) && touch $@ $(BUILD)/.setup
# the page's pictures, for README.md and docs/
screenshots: all $(BUILD)/.setup-test
	@DSS_BUILD=$(BUILD) sh spec/web/run.sh screenshots
lint:
	@WEB=$(WEB) BUILD=$(BUILD) sh etc/lint.sh
asan:
	@$(MAKE) --no-print-directory BUILD=build/asan SAN="-fsanitize=address,undefined -fno-omit-frame-pointer" CFLAGS="-O1 -g" test
bench: all
	@sh bench/run.sh
run: all
	@sh etc/demo.sh
format:
	@clang-format -i $$(git ls-files 'core/*.[ch]' 'core/**/*.[ch]' 'spec/binding/*.c' 'bench/*.c')
clean:
	rm -rf $(BUILD)
install: all
	@sh etc/install.sh "$(DESTDIR)" "$(PREFIX)" "$(BUILD)"
