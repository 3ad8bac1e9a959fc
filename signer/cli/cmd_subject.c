/* SPDX-License-Identifier: Apache-2.0 */
/* kyso subject: people whose keys the server keeps. */
#include "cli.h"

int cmd_subject_add(struct cli *cli)
{
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;
    Kyso__V1__AddSubject add = KYSO__V1__ADD_SUBJECT__INIT;

    add.subject_id = (char *)(uintptr_t)cli_get(cli, "ID");
    add.name = (char *)(uintptr_t)cli_get(cli, "--name");
    op.op_case = KYSO__V1__OPERATION__OP_ADD_SUBJECT;
    op.add_subject = &add;
    return operator_run(cli, &op);
}

int cmd_subject_show(struct cli *cli)
{
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;
    Kyso__V1__ShowSubject show = KYSO__V1__SHOW_SUBJECT__INIT;

    show.subject_id = (char *)(uintptr_t)cli_get(cli, "ID");
    op.op_case = KYSO__V1__OPERATION__OP_SHOW_SUBJECT;
    op.show_subject = &show;
    return operator_run(cli, &op);
}

int cmd_subject_unlock(struct cli *cli)
{
    Kyso__V1__Operation op = KYSO__V1__OPERATION__INIT;
    Kyso__V1__UnlockSubject unlock = KYSO__V1__UNLOCK_SUBJECT__INIT;

    unlock.subject_id = (char *)(uintptr_t)cli_get(cli, "ID");
    op.op_case = KYSO__V1__OPERATION__OP_UNLOCK_SUBJECT;
    op.unlock_subject = &unlock;
    return operator_run(cli, &op);
}
