/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fnmatch.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli/kernel_pkg.h"
#include "cli/spawn.h"
#include "vmm/msg.h"

static const char *const default_versions[] = {"6.1", "6.12"};

static bool is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Whether a folder of modules with the kernel's release is below `root`; sets it. */
static bool find_modules(const char *root, struct kernel *kernel)
{
	snprintf(kernel->modules, sizeof(kernel->modules), "%.3900s/lib/modules/%s", root,
		 kernel->release);
	if (kernel->release[0] && is_dir(kernel->modules))
		return true;
	kernel->modules[0] = 0;
	return false;
}

static int use_file(const char *file, const char *modules, struct kernel *kernel)
{
	char root[4096], *slash;

	snprintf(kernel->image, sizeof(kernel->image), "%s", file);
	snprintf(kernel->origin, sizeof(kernel->origin), "given");
	if (access(file, R_OK) < 0)
		return msg_fail(-errno, "cannot read the kernel %s: %s", file, strerror(errno));
	kernel_read_release(file, kernel->release);
	if (modules) {
		if (!is_dir(modules))
			return msg_fail(-ENOENT, "there is no folder %s with modules", modules);
		snprintf(kernel->modules, sizeof(kernel->modules), "%s", modules);
		return 0;
	}
	/* As in an unpacked package: ROOT/boot/vmlinuz-RELEASE and ROOT/lib/modules/RELEASE. */
	snprintf(root, sizeof(root), "%s", file);
	for (int i = 0; i < 2 && (slash = strrchr(root, '/')); i++)
		*slash = 0;
	if (!find_modules(root, kernel))
		find_modules("", kernel);
	return 0;
}

/* A version "6.1" or "6.1-amd64" as a pattern for what follows "vmlinuz-" or "linux-image-". */
static void version_pattern(const char *wanted, char *pattern, size_t size)
{
	const char *flavour = strchr(wanted, '-');
	int len = flavour ? (int)(flavour - wanted) : (int)strlen(wanted);

	snprintf(pattern, size, "%.*s[.-]*%s", len, wanted, flavour ? flavour : "-cloud-amd64");
}

/* Among names of one kind: the highest version; an ordinary kernel's name is not a cloud kernel's.
 */
static bool is_better(const char *name, const char *best, bool cloud)
{
	static const char *const others[] = {"-unsigned", "-dbg", "-rt-"};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (strstr(name, others[i]))
			return false;
	if (!cloud && strstr(name, "-cloud-"))
		return false;
	return !best[0] || strverscmp(name, best) > 0;
}

/* Looks for a kernel with its modules below `root`. */
static bool find_below(const char *root, const char *wanted, const char *origin,
		       struct kernel *kernel)
{
	char pattern[4300], version[128], best[4096] = "";
	glob_t found;

	version_pattern(wanted, version, sizeof(version));
	if (!strncmp(wanted, "linux-image-", 12))
		snprintf(version, sizeof(version), "%s", wanted + 12);
	snprintf(pattern, sizeof(pattern), "%s/boot/vmlinuz-%s", root, version);
	if (glob(pattern, 0, NULL, &found) != 0)
		return false;
	for (size_t i = 0; i < found.gl_pathc; i++)
		if (is_better(found.gl_pathv[i], best, strstr(version, "cloud")))
			snprintf(best, sizeof(best), "%s", found.gl_pathv[i]);
	globfree(&found);
	if (!best[0] || access(best, R_OK) < 0)
		return false;
	snprintf(kernel->image, sizeof(kernel->image), "%s", best);
	snprintf(kernel->origin, sizeof(kernel->origin), "%s", origin);
	kernel_read_release(best, kernel->release);
	return find_modules(root, kernel);
}

/* ~/.cache/nestkvm/kernels/WANTED, made when it is not there (but for the last part). */
static int cache_dir(const char *wanted, char *dir, size_t size)
{
	const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	int n;

	if (base && *base == '/')
		n = snprintf(dir, size, "%s/nestkvm/kernels/%s", base, wanted);
	else
		n = snprintf(dir, size, "%s/.cache/nestkvm/kernels/%s", home ? home : "/tmp",
			     wanted);
	if (n >= (int)size)
		return -ENAMETOOLONG;
	for (char *p = strchr(dir + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = 0;
		if (mkdir(dir, 0755) < 0 && errno != EEXIST)
			return msg_fail(-errno, "cannot make the folder %s: %s", dir,
					strerror(errno));
		*p = '/';
	}
	return 0;
}

/* The newest package that apt knows for the version. */
static int find_package(const char *wanted, char package[256])
{
	static char names[1 << 20];
	char *argv[] = {"apt-cache", "pkgnames", "linux-image-", NULL};
	char pattern[256], version[128], *save = NULL;
	bool cloud;

	if (!strncmp(wanted, "linux-image-", 12)) {
		snprintf(package, 256, "%s", wanted);
		return 0;
	}
	*package = 0;
	if (spawn_wait(argv, names, sizeof(names)) != 0)
		return msg_fail(-ENOENT,
				"apt-cache does not run; give a kernel with --kernel FILE");
	version_pattern(wanted, version, sizeof(version));
	cloud = strstr(version, "cloud");
	snprintf(pattern, sizeof(pattern), "linux-image-%s", version);
	for (char *p = strtok_r(names, "\n", &save); p; p = strtok_r(NULL, "\n", &save)) {
		/* A kernel's package has its full release in its name; a metapackage has not. */
		if (fnmatch(pattern, p, 0) == 0 && strspn(p + 12, "0123456789.") >= 5 &&
		    is_better(p, package, cloud))
			snprintf(package, 256, "%s", p);
	}
	return *package ? 0 : -ENOENT;
}

struct progress {
	const char *text;
	unsigned ticks;
};

static void show_progress(void *opaque)
{
	struct progress *progress = opaque;

	if (++progress->ticks % 4 == 0)
		msg_info("%s: %u s", progress->text, progress->ticks / 2);
}

static int run_step(const char *dir, const char *text, char *const argv[])
{
	static char out[1 << 16];
	struct progress progress = {.text = text};
	int status = spawn_wait_in(dir, argv, out, sizeof(out), show_progress, &progress);
	size_t len = strlen(out);

	if (status == 0)
		return 0;
	return msg_fail(-EIO, "%s failed (%s, status %d): %s", text, argv[0], status,
			len > 500 ? out + len - 500 : out);
}

/* apt's lists may be absent on a fresh machine; only root can fetch them. */
static int find_package_updating(const char *wanted, char package[256])
{
	char *argv[] = {"apt-get", "-q", "update", NULL};
	int ret = find_package(wanted, package);

	if (ret == -ENOENT && geteuid() == 0 &&
	    run_step("/", "reading apt's package lists", argv) == 0)
		ret = find_package(wanted, package);
	if (ret == -ENOENT)
		msg_fail(ret,
			 "apt knows no kernel package for \"%s\"; run `apt-get update` as root, or "
			 "give "
			 "a kernel with --kernel FILE --modules DIR",
			 wanted);
	return ret;
}

static int unpack_package(const char *dir)
{
	char pattern[4300];
	glob_t found;
	int ret;

	snprintf(pattern, sizeof(pattern), "%s/linux-image-*.deb", dir);
	if (glob(pattern, 0, NULL, &found) != 0)
		return msg_fail(-ENOENT, "apt-get downloaded nothing");
	ret = run_step(dir, "unpacking the kernel package",
		       (char *[]){"dpkg-deb", "-x", found.gl_pathv[0], (char *)dir, NULL});
	unlink(found.gl_pathv[0]);
	globfree(&found);
	return ret;
}

/* Downloads and unpacks into a folder beside, which then takes its name in one step. */
static int download(const char *wanted, const char *cache, struct kernel *kernel)
{
	char package[256], temp[4200], text[300];
	int ret = find_package_updating(wanted, package);

	if (ret < 0)
		return ret;
	snprintf(temp, sizeof(temp), "%s.XXXXXX", cache);
	if (!mkdtemp(temp))
		return msg_fail(-errno, "cannot make a folder %s: %s", temp, strerror(errno));
	chmod(temp, 0755);
	snprintf(text, sizeof(text), "downloading Debian's package %s", package);
	msg_info("%s", text);
	ret = run_step(temp, text,
		       (char *[]){"apt-get", "-q", "-o", "APT::Sandbox::User=root", "download",
				  package, NULL});
	if (ret == 0)
		ret = unpack_package(temp);
	if (ret == 0 && rename(temp, cache) < 0)
		ret = msg_fail(-errno, "cannot rename %s to %s: %s", temp, cache, strerror(errno));
	if (ret < 0)
		spawn_wait((char *[]){"rm", "-rf", temp, NULL}, NULL, 0);
	if (ret == 0 && !find_below(cache, wanted, "downloaded", kernel))
		ret = msg_fail(-ENOENT, "package %s has no kernel with modules", package);
	return ret;
}

/* Whether one is on this machine, installed or cached. */
static bool find_here(const char *wanted, struct kernel *kernel)
{
	char cache[4096];

	if (find_below("", wanted, "installed", kernel))
		return true;
	return cache_dir(wanted, cache, sizeof(cache)) == 0 &&
	       find_below(cache, wanted, "cached", kernel);
}

int kernel_find(const char *wanted, const char *modules, struct kernel *kernel)
{
	char cache[4096];
	int ret;

	memset(kernel, 0, sizeof(*kernel));
	if (wanted && (strchr(wanted, '/') || access(wanted, F_OK) == 0))
		return use_file(wanted, modules, kernel);
	for (size_t i = 0; !wanted && i < ARRAY_SIZE(default_versions); i++)
		if (find_here(default_versions[i], kernel))
			return 0;
	if (wanted && find_here(wanted, kernel))
		return 0;
	if (!wanted)
		wanted = default_versions[0];
	ret = cache_dir(wanted, cache, sizeof(cache));
	return ret < 0 ? ret : download(wanted, cache, kernel);
}
