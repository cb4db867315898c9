/* Does what its first argument says, as the program of a run. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Starts another program without any variable, and says nothing of its end. */
static int starts(char **v) {
    char *none[] = {NULL};
    if (fork() == 0) {
        execve(v[0], v, none);
        _exit(1);
    }
    wait(NULL);
    return 0;
}

/* Whether anything of the machine can be reached: the port and the file are the machine's. */
static int reaches(const char *port, const char *file) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    int s = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(s, (struct sockaddr *)&to, sizeof to) == 0) return 2;
    if (access(file, F_OK) == 0 || access("/.metahub-old", F_OK) == 0) return 3;
    if (chroot(".") == 0) return 4;
    if (open("/.metahub/qemu", O_WRONLY) >= 0) return 5;
    if (open("/.metahub/binfmt/register", O_WRONLY) >= 0) return 6;
    return 0;
}

int main(int c, char **v) {
    if (c > 2 && !strcmp(v[1], "starts")) return starts(v + 2);
    if (c > 3 && !strcmp(v[1], "reaches")) return reaches(v[2], v[3]);
    if (c > 1 && !strcmp(v[1], "loops")) for (;;) pause();
    if (c > 1 && !strcmp(v[1], "grows"))
        for (;;) memset(malloc(1 << 24), 1, 1 << 24);
    return c > 1 ? 9 : 0;
}
