/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What container runtimes run as `vrouter-cni` where the image installed it. The plugin itself is a Node binary, which needs libraries that many
 * hosts don't have (libatomic, libstdc++, or glibc at all), so it comes with its own: this program, linked statically, starts it by their
 * loader. Files, beside this one:
 *
 *   .vrouter-cni -> .vrouter-cni-<digest>     ld.so, libraries, vrouter-cni
 *
 * The link is read once, so that an upgrade in between never mixes two versions.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FOLDER_LINK "/.vrouter-cni"

/* As a CNI error object, which is all that a runtime understands. */
static int fail(const char *attempted, const char *path)
{
	printf("{\"cniVersion\":\"1.0.0\",\"code\":102,\"msg\":\"%s: %s\",\"details\":\"%.400s; the init container of kube-vrouter installs it anew\"}\n",
	       attempted, strerror(errno), path);
	return 1;
}

/* What `link` points to, in `path`. */
static int read_link(const char *link, char *path, size_t size)
{
	ssize_t length = readlink(link, path, size - 1);
	if (length < 0)
		return -1;
	path[length] = '\0';
	return 0;
}

int main(int argc, char **argv)
{
	static char self[PATH_MAX], link[2 * PATH_MAX], target[PATH_MAX];
	static char folder[4 * PATH_MAX], loader[5 * PATH_MAX], plugin[5 * PATH_MAX];

	if (read_link("/proc/self/exe", self, sizeof(self)) < 0)
		return fail("cannot find the plugin's folder", "/proc/self/exe");
	*strrchr(self, '/') = '\0';
	snprintf(link, sizeof(link), "%s" FOLDER_LINK, self);
	if (read_link(link, target, sizeof(target)) < 0)
		return fail("cannot find the plugin", link);
	snprintf(folder, sizeof(folder), "%s/%s", self, target);
	snprintf(loader, sizeof(loader), "%s/ld.so", folder);
	snprintf(plugin, sizeof(plugin), "%s/vrouter-cni", folder);

	char **arguments = calloc(argc + 6, sizeof(*arguments));
	if (arguments == NULL)
		return fail("cannot start the plugin", plugin);
	int count = 0;
	arguments[count++] = loader;
	arguments[count++] = "--library-path";
	arguments[count++] = folder;
	arguments[count++] = plugin;
	for (int index = 1; index < argc; index++)
		arguments[count++] = argv[index];
	execv(loader, arguments);
	return fail("cannot start the plugin", loader);
}
