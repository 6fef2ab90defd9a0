#include "cell_site.h"

static json_t *words_json(const fs_site_class *site, fs_site_set set)
{
    json_t *list = json_array();
    for (unsigned i = 0; site->word(i) != NULL; i++)
        if ((set >> i & 1) && json_array_append_new(list, json_string(site->word(i))) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

int cell_site_json(json_t *out, const fs_cell *cell)
{
    const fs_site_class *site = cell->site;
    const int stages = site->when == FS_SITE_COMPUTED;
    const int components = (site->by & FS_BY_COMPONENT) != 0;
    int failed = json_object_set_new(out, "site", json_string(site->name));
    failed |= json_object_set_new(out, "words", words_json(site, cell->set));
    failed |= json_object_set_new(out, "components", words_json(site, components ? cell->set : 0));
    failed |= json_object_set_new(out, "stages", words_json(site, stages ? cell->set : 0));
    failed |=
        json_object_set_new(out, "phase", json_string(cell->steps == 0 ? "inference" : "finetune"));
    failed |= json_object_set_new(out, "steps", json_integer((json_int_t)cell->steps));
    return failed;
}
