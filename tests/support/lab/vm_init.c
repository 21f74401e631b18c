// The first program in a virtual machine of the tests: loads the modules that
// reach the host's root file system, mounts it read-only below one that keeps
// changes in memory, and becomes the program that the kernel's command line
// names after "--", in there. Linked statically: nothing else is in the
// initial file system. What fails here ends in a panic, and so ends the
// machine; the message is on its console.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void Require(int result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "vm_init: ");
	perror(what);
	exit(1);
}

static void LoadModules(void)
{
	char path[256];
	FILE *order = fopen("/modules/order", "r");
	if (order == NULL)
		Require(-1, "/modules/order");
	while (fgets(path, sizeof(path), order) != NULL) {
		path[strcspn(path, "\n")] = '\0';
		const int file = open(path, O_RDONLY | O_CLOEXEC);
		Require(file, path);
		Require((int)syscall(SYS_finit_module, file, "", 0), path);
		close(file);
	}
	fclose(order);
}

static void Mount(const char *what, const char *where, const char *type, unsigned long flags,
		  const char *options)
{
	mkdir(where, 0755);
	Require(mount(what, where, type, flags, options), where);
}

int main(int count, char **words)
{
	// Before them come the parameters that the kernel does not know.
	while (count > 1 && words[1][0] != '/')
		count--, words++;
	Mount("dev", "/dev", "devtmpfs", 0, NULL);
	LoadModules();
	Mount("root", "/host", "9p", MS_RDONLY,
	      "trans=virtio,version=9p2000.L,msize=524288,cache=loose");
	Mount("changes", "/changes", "tmpfs", 0, NULL);
	mkdir("/changes/upper", 0755);
	mkdir("/changes/work", 0755);
	Mount("root", "/new", "overlay", 0,
	      "lowerdir=/host,upperdir=/changes/upper,workdir=/changes/work");
	Mount("proc", "/new/proc", "proc", 0, NULL);
	Mount("sys", "/new/sys", "sysfs", 0, NULL);
	Mount("bpf", "/new/sys/fs/bpf", "bpf", 0, NULL);
	Mount("dev", "/new/dev", "devtmpfs", 0, NULL);
	Mount("shm", "/new/dev/shm", "tmpfs", 0, NULL);
	Mount("run", "/new/run", "tmpfs", 0, NULL);
	Require(chdir("/new"), "/new");
	Require(mount(".", "/", NULL, MS_MOVE, NULL), "move the root");
	Require(chroot("."), "chroot");
	Require(chdir("/"), "/");
	// Such parameters are in the kernel's environment, too.
	char *const environment[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
		"LC_ALL=C.UTF-8", NULL
	};
	execve(words[1], words + 1, environment);
	Require(-1, words[1]);
}
