#ifndef GREET_H
#define GREET_H

/* Writes "GREETING, name!" and the message of the day; 0 when both could be written. */
int greet(const char *greeting, const char *name, const char *motd_path);

#endif
