"""Emits the decoding functions of one value: for bytes that are all of it, and for use inside other values."""

from __future__ import annotations

from timed.codec.declare import Record, is_usually_fixed, minimum_size
from timed.codec.plan import INDENT, Names, codes_of, function, is_fixed, is_plain, quoted, snake
from timed.codec.reading import Reader, reader_name


def nested_reader(record: Record, names: Names) -> list[str]:
    """`read_x(data, at, size) -> (value, offset after it)`, for use inside other values."""
    reader = Reader(names, True)
    nested_body(record, reader)
    title = names.class_of(record)
    head = f"def {reader_name(record)}(data: bytes, at: int, size: int) -> tuple[{title}, int]:"
    return function(head, "Decode at `at`: the value and the offset after it.", reader.lines)


def nested_body(record: Record, reader: Reader) -> None:
    """Emit what reads the record at `at`."""
    names, title = reader.names, record.title
    if is_plain(record):
        value = reader.construct_plain(record, f"{names.struct(codes_of(record), 'unpack_from')}(data, at)")
        reader.flush_checks()
        reader.delta = minimum_size(record)
        start = "at"
    else:
        start = "start"
        if record.retained:
            reader.add("start = at")
        value = reader.construct(record, reader.read_fields(record))
        if reader.unchecked:
            reader.refuse(f"{reader.offset} > size", f"{names.help('truncated')}({quoted(title)})")
    reader.add(f"value = {value}")
    end = reader.offset
    if record.retained:
        if reader.delta:
            reader.add(f"end = {end}")
            end = "end"
        reader.add(f"{names.help('retain')}(value, data[{start}:{end}])")
    reader.add(f"return value, {end}")


def decoder(record: Record, names: Names) -> list[str]:
    """`decode_x(data) -> value`, for a value that is all of `data`."""
    title = names.class_of(record)
    head, doc = f"def decode_{snake(title)}(data: bytes) -> {title}:", "Decode all of `data`."
    reader = Reader(names, False)
    if not record.fields:
        reader.refuse("data", f"{names.help('trailing')}({quoted(title)}, len(data))")
        reader.add(f"return {title}()")
    else:
        decode_body(record, reader)
    return function(head, doc, reader.lines)


def decode_body(record: Record, reader: Reader) -> None:
    """Emit what reads a record with fields out of all of the data."""
    value = read_fixed(reader, record) if is_fixed(record) else read_variable(reader, record)
    if record.retained:
        reader.add(f"value = {value}")
        reader.add(f"{reader.names.help('retain')}(value, data)")
        value = "value"
    reader.add(f"return {value}")


def read_fixed(reader: Reader, record: Record) -> str:
    """Emit one struct call, which also sees to the length of the data; the expression of the value."""
    names, title = reader.names, record.title
    if is_plain(record):
        targets = "fields"
        value = reader.construct_plain(record, targets)
    else:
        value = reader.construct(
            record, [reader.read(sub, f"{title}.{key}", key) for key, sub in record.fields]
        )
        _, targets = reader.take_pending()
    reader.add("try:")
    reader.add(f"{INDENT}{targets} = {names.struct(codes_of(record), 'unpack')}(data)")
    reader.add("except struct.error:")
    error = f"{names.help('ends_elsewhere')}({quoted(title)}, {minimum_size(record)}, len(data))"
    reader.add(f"{INDENT}raise {error} from None")
    reader.flush_checks()
    return value


def read_variable(reader: Reader, record: Record) -> str:
    """Emit the parts one after the other and compare the ends; the expression of the value."""
    names, title = reader.names, record.title
    reader.add("size = len(data)")
    if is_usually_fixed(record):
        read_usually(reader, record)
    reader.add("try:")
    reader.level += 1
    values = reader.read_fields(record)
    reader.level -= 1
    reader.add("except struct.error:")
    reader.add(f"{INDENT}raise {names.help('truncated')}({quoted(title)}) from None")
    end = reader.offset
    error = f"{names.help('ends_elsewhere')}({quoted(title)}, {end}, size)"
    reader.refuse(f"{end} != size", error)
    return reader.construct(record, values)


def read_usually(reader: Reader, record: Record) -> None:
    """Emit the way that is taken when all lengths are usual: one struct call reads everything."""
    title = record.title
    case = reader.suppose([(sub, f"{title}.{key}", key) for key, sub in record.fields])
    reader.add(f"if size == {case.width}:")
    reader.level += 1
    reader.add(f"{case.targets} = {reader.names.struct(case.codes, 'unpack')}(data)")
    reader.add(f"if {' and '.join(case.lengths)}:")
    reader.level += 1
    reader.checks = case.checks
    reader.flush_checks()
    reader.add(f"return {reader.construct(record, case.values)}")
    reader.level -= 2
