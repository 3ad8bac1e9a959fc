/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The QR code as drawn, half block by half block, is read back by another program (zbarimg, where
 * installed).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "qr.h"

#define SCALE    4
#define SIDE_MAX 200

struct modules {
    int width, height;
    unsigned char light[SIDE_MAX][SIDE_MAX];
};

/* Turns the drawing back into modules. */
static void read_drawing(const char *text, struct modules *m)
{
    int x = 0;

    memset(m, 0, sizeof *m);
    for (const char *p = text; *p != '\0';) {
        int cell = -1;

        if (*p == '\n') {
            m->width = x > m->width ? x : m->width;
            m->height += 2;
            x = 0;
            p++;
            continue;
        }
        if (*p == ' ') {
            cell = 0;
            p++;
        } else if (strncmp(p, "\u2584", 3) == 0 || strncmp(p, "\u2580", 3) == 0 ||
                   strncmp(p, "\u2588", 3) == 0) {
            cell = strncmp(p, "\u2584", 3) == 0 ? 1 : strncmp(p, "\u2580", 3) == 0 ? 2 : 3;
            p += 3;
        }
        assert_true(cell >= 0 && x < SIDE_MAX && m->height + 1 < SIDE_MAX);
        m->light[m->height][x] = (unsigned char)(cell >> 1);
        m->light[m->height + 1][x] = (unsigned char)(cell & 1);
        x++;
    }
}

static void write_pgm(const struct modules *m, const char *path)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    (void)fprintf(f, "P5\n%d %d\n255\n", m->width * SCALE, m->height * SCALE);
    for (int y = 0; y < m->height * SCALE; y++)
        for (int x = 0; x < m->width * SCALE; x++)
            (void)fputc(m->light[y / SCALE][x / SCALE] != 0 ? 255 : 0, f);
    (void)fclose(f);
}

static char *draw(const char *text, bool ink)
{
    char *out = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&out, &n);

    assert_true(qr_draw(f, text, ink));
    (void)fclose(f);
    return out;
}

static void drawn_code_is_read_back(void **state)
{
    static const char uri[] =
        "otpauth://totp/Kyso:079123?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Kyso&digits=6";
    struct fixture *f = *state;
    struct modules m;
    char path[128], command[256], line[512] = "";
    char *text = draw(uri, false);
    FILE *zbar;

    read_drawing(text, &m);
    free(text);
    assert_true(m.width > 30 && (m.height == m.width || m.height == m.width + 1));
    for (int i = 0; i < m.width; i++) /* the quiet zone */
        assert_true(m.light[0][i] == 1 && m.light[3][i] == 1 && m.light[i][0] == 1 &&
                    m.light[i][3] == 1);
    if (fixture_run((const char *const[]){"zbarimg", "--version", NULL}) != 0)
        skip();
    (void)snprintf(path, sizeof path, "%s/qr.pgm", f->dir);
    write_pgm(&m, path);
    (void)snprintf(command, sizeof command, "zbarimg --quiet --raw %s 2>/dev/null", path);
    zbar = popen(command, "r");
    assert_non_null(zbar);
    assert_non_null(fgets(line, sizeof line, zbar));
    (void)pclose(zbar);
    line[strcspn(line, "\n")] = '\0';
    assert_string_equal(line, uri);
}

static void ink_is_only_for_terminals(void **state)
{
    char *plain = draw("x", false);
    char *ink = draw("x", true);

    (void)state;
    assert_null(strchr(plain, '\033'));
    assert_non_null(strstr(ink, "\033[0m\n"));
    free(plain);
    free(ink);
}

static void too_long_is_said(void **state)
{
    char *text = calloc(1, 4001);
    FILE *f = fopen("/dev/null", "w");

    (void)state;
    memset(text, 'a', 4000);
    assert_false(qr_draw(f, text, false));
    (void)fclose(f);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drawn_code_is_read_back),
        cmocka_unit_test(ink_is_only_for_terminals),
        cmocka_unit_test(too_long_is_said),
    };

    return cmocka_run_group_tests(tests, fixture_group_setup, fixture_group_teardown);
}
