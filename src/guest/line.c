/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines for a program to read, and small files. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "guest.h"

static void line_add(struct line *line, const char *format, ...)
{
	size_t room = sizeof(line->text) - line->len;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line->text + line->len, room, format, args);
	va_end(args);
	line->len += (size_t)n < room ? (size_t)n : room - 1;
}

/* A comma, unless the object has just been opened. */
static void line_key(struct line *line, const char *key)
{
	bool first = line->len == 0 || line->text[line->len - 1] == '{';

	line_add(line, "%s\"%s\":", first ? "" : ",", key);
}

void line_start(struct line *line, int level, const char *event)
{
	line->len = 0;
	line_add(line, "NESTKVM {");
	line_number(line, "level", level);
	line_string(line, "event", event);
	line_number(line, "uptime_ms", uptime_ms());
}

void line_string(struct line *line, const char *key, const char *value)
{
	line_key(line, key);
	line_add(line, "\"");
	for (; *value; value++) {
		unsigned char c = *value;

		if (c == '"' || c == '\\')
			line_add(line, "\\%c", c);
		else if (c < 0x20 || c > 0x7e)
			line_add(line, " ");
		else
			line_add(line, "%c", c);
	}
	line_add(line, "\"");
}

void line_number(struct line *line, const char *key, long long value)
{
	line_key(line, key);
	line_add(line, "%lld", value);
}

void line_open(struct line *line, const char *key)
{
	line_key(line, key);
	line_add(line, "{");
}

void line_close(struct line *line)
{
	line_add(line, "}");
}

void line_print(struct line *line)
{
	const char *p = line->text;
	size_t left;

	line_add(line, "}\n");
	for (left = line->len; left;) {
		ssize_t n = write(STDOUT_FILENO, p, left);

		if (n <= 0)
			return;
		p += n;
		left -= n;
	}
}

const char *file_read(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, buf, size - 1);

	if (fd >= 0)
		close(fd);
	if (n < 0)
		n = 0;
	while (n > 0 && buf[n - 1] == '\n')
		n--;
	buf[n] = 0;
	return buf;
}

long long uptime_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}
