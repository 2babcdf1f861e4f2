#include "greet.h"

#include <stdio.h>

int greet(const char *greeting, const char *name, const char *motd_path) {
    char line[256];
    FILE *motd;

    if (printf("%s, %s!\n", greeting, name) < 0) return 1;
    motd = fopen(motd_path, "r");
    if (motd == NULL) {
        perror(motd_path);
        return 1;
    }
    while (fgets(line, sizeof line, motd) != NULL) fputs(line, stdout);
    fclose(motd);
    return 0;
}
