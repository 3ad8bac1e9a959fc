/* SPDX-License-Identifier: Apache-2.0 */
/* The modes, one table entry each. */
#include "mode.h"

#include <stdlib.h>
#include <string.h>

static bool make_keys(struct worker *w, bool on_token)
{
    w->keys = calloc(w->count, sizeof *w->keys);
    for (size_t i = 0; w->keys != NULL && i < w->count; i++)
        if (!token_key_make(&w->session, on_token, false, &w->keys[i]))
            return false;
    return w->keys != NULL;
}

static bool prepare_hot(struct worker *w)
{
    return make_keys(w, false);
}

static bool prepare_hot_token(struct worker *w)
{
    return make_keys(w, true);
}

static bool prepare_cold(struct worker *w)
{
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;

    w->blobs = calloc(w->count, sizeof *w->blobs);
    if (w->blobs == NULL || !token_kek_make(&w->session))
        return false;
    for (size_t i = 0; i < w->count; i++)
        if (!token_key_make(&w->session, false, true, &key) ||
            !token_key_wrap(&w->session, key, &w->blobs[i]) || !token_key_destroy(&w->session, key))
            return false;
    return true;
}

static unsigned step_hot(struct worker *w)
{
    uint64_t turn = w->turn++;

    return token_sign(&w->session, w->keys[turn % w->count], turn) ? 1 : 0;
}

static unsigned unwrap_and_sign(struct worker *w, unsigned signatures)
{
    uint64_t turn = w->turn++;
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    unsigned made = 0;

    if (!token_key_unwrap(&w->session, &w->blobs[turn % w->count], &key))
        return 0;
    while (made < signatures && token_sign(&w->session, key, turn * signatures + made))
        made++;
    return token_key_destroy(&w->session, key) && made == signatures ? made : 0;
}

static unsigned step_cold(struct worker *w)
{
    return unwrap_and_sign(w, 1);
}

static unsigned step_dossier(struct worker *w)
{
    return unwrap_and_sign(w, MODE_DOSSIER);
}

static void end_session_objects(struct worker *w)
{
    free(w->keys);
    free(w->blobs);
}

/* What was put on the token is taken off it again. */
static void end_token_objects(struct worker *w)
{
    for (size_t i = 0; w->keys != NULL && i < w->count; i++)
        if (w->keys[i] != CK_INVALID_HANDLE)
            (void)token_key_destroy(&w->session, w->keys[i]);
    end_session_objects(w);
}

static const struct mode modes[] = {
    {"hot", "C_Sign with session objects, one process per worker", prepare_hot, step_hot,
     end_session_objects, false},
    {"hot-token", "C_Sign with token objects, one process per worker", prepare_hot_token, step_hot,
     end_token_objects, false},
    {"threads", "C_Sign with session objects, workers are threads of one process", prepare_hot,
     step_hot, end_session_objects, true},
    {"cold", "unwrap, C_Sign, destroy", prepare_cold, step_cold, end_session_objects, false},
    {"dossier", "unwrap, 64 times C_Sign, destroy", prepare_cold, step_dossier, end_session_objects,
     false},
};

const struct mode *mode_at(size_t i)
{
    return i < sizeof modes / sizeof modes[0] ? &modes[i] : NULL;
}

const struct mode *mode_find(const char *name)
{
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        if (strcmp(modes[i].name, name) == 0)
            return &modes[i];
    return NULL;
}
