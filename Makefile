# SPDX-License-Identifier: BSD-2-Clause
# nestkvm: nested virtualization with KVM, in software.  `make help` lists the targets.
MAKEFLAGS += --no-builtin-rules
CC      := $(if $(shell command -v ccache),ccache) gcc
AR      := ar
B       ?= build
PKGS    := zydis slirp libcjson libzstd liblz4 liblzma zlib
CFLAGS  ?= -O2 -g
WARN    := -Wall -Wextra -Werror -Wno-unused-parameter
ALL_CPPFLAGS := -D_GNU_SOURCE -Iinclude -Isrc $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
ALL_CFLAGS   := -std=gnu11 -fPIC -fvisibility=hidden -fno-strict-aliasing -pthread $(WARN) $(CFLAGS)
LIBS    := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -pthread -lm

ifeq ($(SAN),1)
B          := build-san
ALL_CFLAGS += -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
LIBS       += -fsanitize=address,undefined
endif

# Rooms of the library, then those of the programs, in include order.
LIB_ROOMS := base mem x86 cpu mmu sys virt irq interp vcpu api
VMM_ROOMS := vmm
CLI_ROOMS := cli
lib_src := $(foreach r,$(LIB_ROOMS),$(wildcard src/$(r)/*.c))
vmm_src := $(foreach r,$(VMM_ROOMS),$(wildcard src/$(r)/*.c))
cli_src := $(foreach r,$(CLI_ROOMS),$(wildcard src/$(r)/*.c))
lib_obj := $(lib_src:src/%.c=$(B)/%.o)
vmm_obj := $(vmm_src:src/%.c=$(B)/%.o)
cli_obj := $(cli_src:src/%.c=$(B)/%.o)
unit_src := $(wildcard tests/unit/*_test.c)
unit_bin := $(unit_src:tests/%.c=$(B)/tests/%)

.PHONY: all tests clean
all: $(B)/libnestkvm.a $(B)/libvmm.a $(if $(cli_src),$(B)/nestkvm) tests
tests: $(unit_bin)

$(B)/%.o: src/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/libnestkvm.a: $(lib_obj)
	@rm -f $@
	$(AR) rcs $@ $^
$(B)/libvmm.a: $(vmm_obj)
	@rm -f $@
	$(AR) rcs $@ $^
$(B)/nestkvm: $(cli_obj) $(B)/libvmm.a $(B)/libnestkvm.a
	$(CC) $(ALL_CFLAGS) -o $@ $^ $(LIBS)

$(B)/tests/%: tests/%.c $(B)/libvmm.a $(B)/libnestkvm.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -o $@ $< $(B)/libvmm.a $(B)/libnestkvm.a $(LIBS) -lcmocka

clean:
	rm -rf $(B)

-include $(lib_obj:.o=.d) $(vmm_obj:.o=.d) $(cli_obj:.o=.d) $(unit_bin:=.d)
