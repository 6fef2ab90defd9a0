#include "site.h"

#include <string.h>

#include "assert.h"

static const fs_site_class *const classes[] = {
#define X(variable) &variable,
    FS_SITE_MAP(X)
#undef X
};

const fs_site_class *fs_site_at(unsigned i)
{
    return i < sizeof classes / sizeof classes[0] ? classes[i] : NULL;
}

const fs_site_class *fs_site_find(const char *name)
{
    for (unsigned i = 0; fs_site_at(i) != NULL; i++)
        if (strcmp(fs_site_at(i)->name, name) == 0) return fs_site_at(i);
    return NULL;
}

const char *fs_by_word(unsigned i)
{
    static const char *const words[] = {
#define X(name, text) text,
        FS_BY_MAP(X)
#undef X
    };
    FS_ASSERT(i < FS_BY_COUNT);
    return words[i];
}

/* Words of several sites come before single ones among `words`, so the first that fits is taken. */
fs_status fs_site_write(const fs_site_class *self, fs_site_set set, fs_buf *out)
{
    const char *separator = "[";
    for (const char *const *word = self->words; *word != NULL && set != 0; word++) {
        const fs_site_set own = self->parse(*word);
        if ((set & own) != own) continue;
        if (strcmp(*word, "all") == 0) return fs_buf_puts(out, *word);
        FS_TRY(fs_buf_printf(out, "%s%s", separator, *word));
        set &= ~own;
        separator = ", ";
    }
    return fs_buf_puts(out, "]");
}
