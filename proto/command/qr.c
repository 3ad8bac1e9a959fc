/* SPDX-License-Identifier: Apache-2.0 */
/* QR codes for the terminal: libqrencode makes the modules, this draws them. */
#include "qr.h"

#include <qrencode.h>
#include <string.h>

#define QUIET 4 /* ISO/IEC 18004: four light modules around */

static bool light(const QRcode *q, int x, int y)
{
    if (x < 0 || y < 0 || x >= q->width || y >= q->width)
        return true;
    return (q->data[y * q->width + x] & 1) == 0;
}

bool qr_draw(FILE *out, const char *text, bool ink)
{
    static const char *const cells[] = {" ", "\u2584", "\u2580",
                                        "\u2588"}; /* upper * 2 + lower is light */
    QRcode *q = QRcode_encodeString8bit(text, 0, QR_ECLEVEL_M);

    if (q == NULL)
        return false;
    for (int y = -QUIET; y < q->width + QUIET; y += 2) {
        (void)fputs(ink ? "\033[97;40m" : "", out);
        for (int x = -QUIET; x < q->width + QUIET; x++)
            (void)fputs(cells[light(q, x, y) * 2 + light(q, x, y + 1)], out);
        (void)fputs(ink ? "\033[0m\n" : "\n", out);
    }
    memset(q->data, 0, (size_t)q->width * (size_t)q->width); /* the code holds the seed */
    QRcode_free(q);
    return true;
}
