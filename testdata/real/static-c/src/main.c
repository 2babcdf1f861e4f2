#include <stdlib.h>

#include "greet.h"

int main(int argc, char **argv) {
    const char *greeting = getenv("GREETING");

    return greet(greeting != NULL ? greeting : "Hi", argc > 1 ? argv[1] : "nobody", "/etc/motd");
}
