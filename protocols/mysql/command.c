#include "protocols/mysql/command.h"

#include "base/util.h"

#define NAME(text) .name = { (const uint8_t *)(text), sizeof(text) - 1 }

static const struct command commands[256] = {
	[0x01] = { NAME("COM_QUIT"), REPLY_NONE, ARGS_NONE, 1, 1 },
	[0x02] = { NAME("COM_INIT_DB"), REPLY_OK, ARGS_DATABASE, 1, 1025 },
	[0x03] = { NAME("COM_QUERY"), REPLY_RESULT, ARGS_TEXT, 1, 0 },
	[0x04] = { NAME("COM_FIELD_LIST"), REPLY_FIELDS, ARGS_NONE, 2, 4096 },
	[0x05] = { NAME("COM_CREATE_DB"), REPLY_OK, ARGS_NONE, 2, 1025 },
	[0x06] = { NAME("COM_DROP_DB"), REPLY_OK, ARGS_NONE, 2, 1025 },
	[0x07] = { NAME("COM_REFRESH"), REPLY_OK, ARGS_NONE, 2, 2 },
	[0x08] = { NAME("COM_SHUTDOWN"), REPLY_OK, ARGS_NONE, 1, 2 },
	[0x09] = { NAME("COM_STATISTICS"), REPLY_STRING, ARGS_NONE, 1, 1 },
	[0x0a] = { NAME("COM_PROCESS_INFO"), REPLY_RESULT, ARGS_NONE, 1, 1 },
	[0x0c] = { NAME("COM_PROCESS_KILL"), REPLY_OK, ARGS_NONE, 5, 5 },
	[0x0d] = { NAME("COM_DEBUG"), REPLY_OK, ARGS_NONE, 1, 1 },
	[0x0e] = { NAME("COM_PING"), REPLY_OK, ARGS_NONE, 1, 1 },
	[0x11] = { NAME("COM_CHANGE_USER"), REPLY_AUTH, ARGS_USER, 4, 0 },
	[0x12] = { NAME("COM_BINLOG_DUMP"), REPLY_STREAM, ARGS_NONE, 11, 1024 },
	[0x13] = { NAME("COM_TABLE_DUMP"), REPLY_STREAM, ARGS_NONE, 3, 1024 },
	[0x15] = { NAME("COM_REGISTER_SLAVE"), REPLY_OK, ARGS_NONE, 18, 1024 },
	[0x16] = { NAME("COM_STMT_PREPARE"), REPLY_PREPARE, ARGS_TEXT, 1, 0 },
	[0x17] = { NAME("COM_STMT_EXECUTE"), REPLY_RESULT, ARGS_STATEMENT, 10, 0 },
	[0x18] = { NAME("COM_STMT_SEND_LONG_DATA"), REPLY_NONE, ARGS_STATEMENT, 7, 0 },
	[0x19] = { NAME("COM_STMT_CLOSE"), REPLY_NONE, ARGS_STATEMENT, 5, 5 },
	[0x1a] = { NAME("COM_STMT_RESET"), REPLY_OK, ARGS_STATEMENT, 5, 5 },
	[0x1b] = { NAME("COM_SET_OPTION"), REPLY_OK, ARGS_NONE, 3, 3 },
	[0x1c] = { NAME("COM_STMT_FETCH"), REPLY_ROWS, ARGS_STATEMENT, 9, 9 },
	[0x1e] = { NAME("COM_BINLOG_DUMP_GTID"), REPLY_STREAM, ARGS_NONE, 21, 0 },
	[0x1f] = { NAME("COM_RESET_CONNECTION"), REPLY_OK, ARGS_NONE, 1, 1 },
	[0x20] = { NAME("COM_CLONE"), REPLY_STREAM, ARGS_NONE, 1, 1 },
	/* MariaDB's own. */
	[0xfa] = { NAME("COM_STMT_BULK_EXECUTE"), REPLY_RESULT, ARGS_STATEMENT, 7, 0 },
};

const struct command *command_of(uint8_t id)
{
	return commands[id].name.n ? &commands[id] : NULL;
}

bool attributes_plausible(struct slice text)
{
	return text.n > 0 && text.p[0] < ' ' && (text.n == 1 || text.p[1] == 1);
}

static bool text_plausible(struct slice text)
{
	if (attributes_plausible(text))
		return text.p[0] > 0 || text_plausible(slice_from(text, 2));
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] < ' ' && text.p[i] != '\n' && text.p[i] != '\r' && text.p[i] != '\t')
			return false;
	return true;
}

bool command_plausible(struct slice payload, uint32_t len)
{
	const struct command *c = payload.n ? command_of(payload.p[0]) : NULL;

	if (!c || len < c->min || (c->max && len > c->max))
		return false;
	return c->args != ARGS_TEXT ||
	       text_plausible(slice_head(slice_from(payload, 1), COMMAND_LOOK - 1));
}
