# SPDX-License-Identifier: BSD-2-Clause
# nestkvm: nested virtualization with KVM, in software.  `make help` lists the targets.
MAKEFLAGS += --no-builtin-rules --no-print-directory
VERSION := 0.1.0
CC      := $(if $(shell command -v ccache),ccache) gcc
AR      := ar
PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
CFLAGS  ?= -O2 -g
PKGS    := libcjson libzstd liblz4 liblzma zlib
# Debian 12's libzydis-dev has no pkg-config file, and slirp's asks for GLib's headers, which it does
# not use.
NO_PKGS_LIBS := -lZydis -lslirp
WARN    := -Wall -Wextra -Werror -Wno-unused-parameter
ALL_CPPFLAGS := -D_GNU_SOURCE -Iinclude -Isrc $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
ALL_CFLAGS   := -std=gnu11 -fPIC -fvisibility=hidden -fno-strict-aliasing -pthread $(WARN) $(CFLAGS)
LIBS    := $(shell pkg-config --libs $(PKGS) 2>/dev/null) $(NO_PKGS_LIBS) -pthread -lm -ldl

ifeq ($(SAN),1)
B          ?= build-san
# A guest accesses its memory at any address: alignment is not checked.
ALL_CFLAGS += -fsanitize=address,undefined -fno-sanitize=alignment -fno-sanitize-recover=undefined -fno-omit-frame-pointer
LIBS       += -fsanitize=address,undefined -fno-sanitize=alignment
endif
B ?= build

# Rooms of the library, then those of the programs, in include order.
LIB_ROOMS := base mem x86 cpu mmu sys virt irq interp jit vcpu api
VMM_ROOMS := vmm migrate host
CLI_ROOMS := cli
room_src  = $(foreach r,$(1),$(wildcard src/$(r)/*.c src/$(r)/*.S))
room_obj  = $(patsubst src/%,$(B)/%.o,$(basename $(call room_src,$(1))))
lib_obj  := $(call room_obj,$(LIB_ROOMS))
vmm_obj  := $(call room_obj,$(VMM_ROOMS))
cli_obj  := $(filter-out $(B)/cli/main.o,$(call room_obj,$(CLI_ROOMS)))
cli_main := $(wildcard src/cli/main.c)

# Every tests/KIND/NAME_test.c is one test program; the libraries that it is linked with, in link order.
TEST_KINDS := unit api insn guest fuzz
test_src   := $(foreach k,$(TEST_KINDS),$(wildcard tests/$(k)/*_test.c))
test_bin   := $(test_src:tests/%.c=$(B)/tests/%)
# Every tests/guest/NAME/ is a bare-metal guest, run by tests/guest/NAME_test.c.
guest_elf  := $(patsubst tests/guest/%/link.ld,$(B)/tests/guest/%.elf,$(wildcard tests/guest/*/link.ld))
archives   := $(B)/libcli.a $(B)/libvmm.a $(B)/libnestkvm.a
bench_guest := $(patsubst %.c,$(B)/%,$(wildcard bench/guest/*.c))
bench_bin  := $(patsubst %.c,$(B)/%,$(wildcard bench/*.c))

.PHONY: all build setup demo check check-long check-style bench tests install clean help run-checks
all: $(archives) $(B)/libnestkvm.so $(B)/nestkvm.pc $(if $(cli_main),$(B)/nestkvm) tests
tests: $(test_bin) $(guest_elf)

help:
	@echo 'make              build everything into $(B)/ (SAN=1: with sanitizers, into build-san/)'
	@echo 'make setup        install what the build and the tests need (Debian packages, with apt)'
	@echo 'make demo         set up, build, and run the demo: L1 that boots L2 (ARGS="..." passes options)'
	@echo 'make check        set up, build, and run the tests (SAN=1: with sanitizers)'
	@echo 'make check-long   the tests and the heavier end-to-end matrix'
	@echo 'make check-style  include order, clang-format and clang-tidy'
	@echo 'make bench        the benchmarks'
	@echo 'make install      install into PREFIX ($(PREFIX)); DESTDIR is honoured'
	@echo 'make clean        remove $(B)/'

setup:
	@scripts/setup.sh

# These start a second make, since set-up may have brought the compiler and pkg-config's answers.
build: setup
	@$(MAKE) -s all
demo: build
	@$(B)/nestkvm demo $(ARGS)
check: build
	@scripts/check-includes
	@NESTKVM_BUILD=$(B) scripts/run-tests
check-long: build
	@scripts/check-includes
	@NESTKVM_BUILD=$(B) NESTKVM_LONG=1 scripts/run-tests
check-style:
	@scripts/check-includes
	@scripts/check-format
	@scripts/check-tidy
bench: build
	@$(MAKE) -s bench-programs
	@NESTKVM_BUILD=$(B) bench/run
.PHONY: bench-programs
bench-programs: $(bench_bin) $(bench_guest)

$(B)/%.o: src/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<
$(B)/%.o: src/%.S Makefile
	@mkdir -p $(@D)
	$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -DGUEST_INIT='"$(B)/guest/init"' -MMD -MP -c -o $@ $<

# Process 1 of our guests is a static program of its own; nestkvm carries it inside (.incbin).
GUEST_CFLAGS := -std=gnu11 -Os -static -fno-pie -no-pie $(WARN) -D_GNU_SOURCE -Isrc
$(B)/guest/init: $(wildcard src/guest/*.c) $(wildcard src/guest/*.h) Makefile
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) -s -o $@ $(filter %.c,$^)
$(B)/cli/initramfs_init.o: $(B)/guest/init

$(B)/libnestkvm.a: $(lib_obj)
	@mkdir -p $(@D) && rm -f $@
	$(AR) rcs $@ $^
$(B)/libvmm.a: $(vmm_obj)
	@mkdir -p $(@D) && rm -f $@
	$(AR) rcs $@ $^
$(B)/libcli.a: $(cli_obj)
	@mkdir -p $(@D) && rm -f $@
	$(AR) rcs $@ $^
$(B)/nestkvm: $(B)/cli/main.o $(archives)
	$(CC) $(ALL_CFLAGS) -o $@ $^ $(LIBS)
$(B)/libnestkvm.so: $(lib_obj)
	$(CC) $(ALL_CFLAGS) -shared -Wl,-soname,libnestkvm.so.0 -o $@ $^ $(LIBS)
$(B)/nestkvm.pc: Makefile
	@mkdir -p $(@D)
	@printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$(LIBDIR)' 'includedir=$${prefix}/include' '' \
	  'Name: nestkvm' 'Description: the KVM API, answered in software' 'Version: $(VERSION)' \
	  'Cflags: -I$${includedir}' 'Libs: -L$${libdir} -lnestkvm' \
	  'Libs.private: -lZydis -pthread -lm' >$@

$(B)/tests/%: tests/%.c $(archives)
	@mkdir -p $(@D)
	$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -o $@ $< $(archives) $(LIBS) -lcmocka
BARE_CFLAGS := -std=gnu11 -O1 -g -ffreestanding -mno-red-zone -mgeneral-regs-only -fno-pic -fno-stack-protector \
	-fcf-protection=none -nostdlib -static -no-pie -Wl,--build-id=none -Wl,--no-warn-rwx-segments $(WARN)
$(B)/tests/guest/%.elf: tests/guest/%/link.ld $(wildcard tests/guest/*/*.[chS]) Makefile
	@mkdir -p $(@D)
	$(CC) $(BARE_CFLAGS) -T $< -o $@ $(wildcard tests/guest/$*/*.c tests/guest/$*/*.S)
# The instruction tests have parts in common.
insn_lib := $(wildcard tests/insn/lib/*.c)
$(B)/tests/insn/%: tests/insn/%.c $(insn_lib) $(wildcard tests/insn/lib/*.h) $(archives)
	@mkdir -p $(@D)
	$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -MF $@.d -o $@ $< $(insn_lib) $(archives) $(LIBS) -lcmocka
$(bench_guest): $(B)/%: %.c Makefile
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -static $(WARN) -D_GNU_SOURCE -s -o $@ $<
$(B)/bench/%: bench/%.c $(archives)
	@mkdir -p $(@D)
	$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -o $@ $< $(archives) $(LIBS)

install: all
	install -Dm755 $(B)/nestkvm $(DESTDIR)$(PREFIX)/bin/nestkvm
	install -Dm755 $(B)/libnestkvm.so $(DESTDIR)$(LIBDIR)/libnestkvm.so.$(VERSION)
	ln -sf libnestkvm.so.$(VERSION) $(DESTDIR)$(LIBDIR)/libnestkvm.so.0
	ln -sf libnestkvm.so.0 $(DESTDIR)$(LIBDIR)/libnestkvm.so
	install -Dm644 $(B)/libnestkvm.a $(DESTDIR)$(LIBDIR)/libnestkvm.a
	install -Dm644 $(B)/nestkvm.pc $(DESTDIR)$(LIBDIR)/pkgconfig/nestkvm.pc
	install -Dm644 include/nestkvm.h $(DESTDIR)$(PREFIX)/include/nestkvm.h
	install -Dm644 man/nestkvm.1 $(DESTDIR)$(PREFIX)/share/man/man1/nestkvm.1
	install -Dm644 completions/nestkvm.bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/nestkvm

# What guests run to show that they compute as the host does.
workloads := $(patsubst tests/%.c,$(B)/tests/%,$(wildcard tests/workloads/*.c))
$(workloads): $(B)/tests/%: tests/%.c Makefile
	@mkdir -p $(@D)
	$(CC) -O2 -static -pthread -std=gnu11 $(WARN) -o $@ $<
tests: $(workloads)

clean:
	rm -rf $(B)

-include $(lib_obj:.o=.d) $(vmm_obj:.o=.d) $(cli_obj:.o=.d) $(B)/cli/main.d $(test_bin:=.d) $(bench_bin:=.d)
