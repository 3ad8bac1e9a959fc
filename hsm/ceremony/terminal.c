/* SPDX-License-Identifier: Apache-2.0 */
/* The terminal. One thread. */
#include "terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "qr.h"

static void put(const void *bytes, size_t n)
{
    const uint8_t *at = bytes;

    while (n > 0) {
        ssize_t done = write(STDOUT_FILENO, at, n);

        if (done <= 0 && errno != EINTR)
            return;
        if (done > 0) {
            at += done;
            n -= (size_t)done;
        }
    }
}

void terminal_clear(void)
{
    static const char sequence[] = "\033[2J\033[3J\033[H"; /* screen, scrollback, home */

    put(sequence, sizeof(sequence) - 1);
}

/* Ctrl-C while a share is shown: it does not stay there. */
static void clear_and_end(int signal)
{
    terminal_clear();
    _exit(128 + signal);
}

bool terminal_open(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    const struct sigaction end = {.sa_handler = clear_and_end};

    if (isatty(STDIN_FILENO) != 1 || isatty(STDOUT_FILENO) != 1) {
        (void)fputs("kyso-ceremony: this needs a terminal with people in front of it\n", stderr);
        return false;
    }
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        (void)sigaction(signals[i], &end, NULL);
    return setvbuf(stdout, NULL, _IONBF, 0) == 0;
}

void terminal_say(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    (void)vprintf(format, ap);
    va_end(ap);
    (void)putchar('\n');
}

void terminal_show(const struct ky_secret *line)
{
    put("    ", 4);
    put(line->bytes, line->len);
    put("\n", 1);
}

void terminal_qr(const struct ky_secret *text)
{
    char copy[KY_SECRET_MAX + 1];

    memcpy(copy, text->bytes, text->len);
    copy[text->len] = '\0';
    if (!qr_draw(stdout, copy, true))
        terminal_say("(no code could be drawn)");
    ky_wipe(copy, sizeof(copy));
}

bool terminal_ask(const char *prompt, struct ky_secret *out)
{
    static const uint8_t room[KY_SECRET_MAX];
    size_t n = 0;

    put(prompt, strlen(prompt));
    if (!ky_ok(ky_secret_set(out, KY_SPAN_OF(room))))
        return false;
    for (;;) {
        uint8_t c = 0;
        ssize_t got = read(STDIN_FILENO, &c, 1);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        if (c == '\n')
            break;
        if (n < out->len) /* what does not fit is no share: its checksum will say so */
            out->bytes[n++] = c;
    }
    out->len = n;
    return true;
}

bool terminal_pause(const char *prompt)
{
    struct ky_secret line = {.bytes = NULL};
    bool there = terminal_ask(prompt, &line);

    ky_secret_wipe(&line);
    return there;
}
