package tracing

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"
)

// message is one of OTLP's, from which both of its forms are written: protobuf, and JSON as OTLP
// has it, where ids are in hexadecimal and 64 bits are a text
// (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding). Names and numbers are those of
// https://github.com/open-telemetry/opentelemetry-proto, v1.
type message []field

// field has a value: a string, id, fixed64, fixed32, int64, enum, message or []message.
type field struct {
	number int
	name   string
	value  any
}

type (
	id      []byte
	fixed64 uint64
	fixed32 uint32
	enum    int
)

// Wire types of protobuf (https://protobuf.dev/programming-guides/encoding/#structure).
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

func (m message) proto(b []byte) []byte {
	for _, f := range m {
		b = f.proto(b)
	}
	return b
}

func (f field) proto(b []byte) []byte {
	tag := func(wire int) []byte { return binary.AppendUvarint(b, uint64(f.number<<3|wire)) }
	text := func(t []byte) []byte { return append(binary.AppendUvarint(tag(wireBytes), uint64(len(t))), t...) }
	switch v := f.value.(type) {
	case string:
		return text([]byte(v))
	case id:
		return text(v)
	case message:
		return text(v.proto(nil))
	case []message:
		for _, each := range v {
			b = field{f.number, f.name, each}.proto(b)
		}
		return b
	case fixed64:
		return binary.LittleEndian.AppendUint64(tag(wireFixed64), uint64(v))
	case fixed32:
		return binary.LittleEndian.AppendUint32(tag(wireFixed32), uint32(v))
	case int64:
		return binary.AppendUvarint(tag(wireVarint), uint64(v))
	case enum:
		return binary.AppendUvarint(tag(wireVarint), uint64(v))
	}
	panic("tracing: no such field")
}

func (m message) json(b []byte) []byte {
	b = append(b, '{')
	for i, f := range m {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(strconv.AppendQuote(b, f.name), ':')
		b = jsonValue(b, f.value)
	}
	return append(b, '}')
}

func jsonValue(b []byte, value any) []byte {
	switch v := value.(type) {
	case string:
		text, _ := json.Marshal(v) // of a text it does not fail
		return append(b, text...)
	case id:
		return append(hex.AppendEncode(append(b, '"'), v), '"')
	case message:
		return v.json(b)
	case []message:
		b = append(b, '[')
		for i, each := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = each.json(b)
		}
		return append(b, ']')
	case fixed64:
		return append(strconv.AppendUint(append(b, '"'), uint64(v), 10), '"')
	case int64:
		return append(strconv.AppendInt(append(b, '"'), v, 10), '"')
	case fixed32:
		return strconv.AppendUint(b, uint64(v), 10)
	case enum:
		return strconv.AppendInt(b, int64(v), 10)
	}
	panic("tracing: no such field")
}

// request is what is sent of spans (ExportTraceServiceRequest).
func request(resource []Attribute, spans []*Span) message {
	var all []message
	for _, s := range spans {
		all = append(all, s.message())
	}
	scope := message{{1, "name", "jitaccess"}}
	return message{{1, "resourceSpans", []message{{
		{1, "resource", message{{1, "attributes", attributes(resource)}}},
		{2, "scopeSpans", []message{{{1, "scope", scope}, {2, "spans", all}}}},
	}}}}
}

// Flags of a span: that it is recorded, and whether what is above it is of another process.
const (
	flagSampled     = 0x001
	flagKnowsRemote = 0x100
	flagRemote      = 0x200
)

// statusError is the code of what has failed.
const statusError = 2

func (s *Span) message() message {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := message{{1, "traceId", id(s.trace[:])}, {2, "spanId", id(s.span[:])}}
	if s.parent != [8]byte{} {
		m = append(m, field{4, "parentSpanId", id(s.parent[:])})
	}
	m = append(m, field{5, "name", s.name}, field{6, "kind", enum(s.kind)},
		field{7, "startTimeUnixNano", nanos(s.began)}, field{8, "endTimeUnixNano", nanos(s.end)},
		field{9, "attributes", attributes(s.attributes)})
	var events []message
	for _, e := range s.events {
		events = append(events, message{{1, "timeUnixNano", nanos(e.at)}, {2, "name", e.name}, {3, "attributes", attributes(e.attributes)}})
	}
	m = append(m, field{11, "events", events})
	if s.lost > 0 {
		m = append(m, field{12, "droppedEventsCount", enum(s.lost)})
	}
	if s.link != (identity{}) {
		m = append(m, field{13, "links", []message{{{1, "traceId", id(s.link.trace[:])}, {2, "spanId", id(s.link.span[:])},
			{6, "flags", fixed32(flagKnowsRemote | flagRemote)}}}})
	}
	if s.failed {
		m = append(m, field{15, "status", message{{3, "code", enum(statusError)}}})
	}
	flags := fixed32(flagSampled | flagKnowsRemote)
	if s.remote {
		flags |= flagRemote
	}
	return append(m, field{16, "flags", flags})
}

// nanos is a moment; one before 1970 has none.
func nanos(t time.Time) fixed64 { return fixed64(max(0, t.UnixNano())) }

func attributes(all []Attribute) []message {
	var messages []message
	for _, a := range all {
		value := message{}
		switch v := a.Value.(type) {
		case string:
			value = message{{1, "stringValue", v}}
		case int:
			value = message{{3, "intValue", int64(v)}}
		}
		messages = append(messages, message{{1, "key", a.Key}, {2, "value", value}})
	}
	return messages
}

// maxAnswer is how much of an answer is read, in bytes.
const maxAnswer = 64 << 10

// refused reads of an answer how many spans are wrong, and why (ExportTracePartialSuccess). What
// cannot be read says nothing.
func refused(body []byte, inJSON bool) (spans int, why string) {
	var answer struct {
		Partial struct {
			Rejected json.RawMessage `json:"rejectedSpans"`
			Why      string          `json:"errorMessage"`
		} `json:"partialSuccess"`
	}
	if inJSON {
		if json.Unmarshal(body, &answer) != nil {
			return 0, ""
		}
		text, err := strconv.Unquote(string(answer.Partial.Rejected)) // 64 bits are a text, or a number
		if err != nil {
			text = string(answer.Partial.Rejected)
		}
		spans, _ = strconv.Atoi(text)
		return spans, answer.Partial.Why
	}
	partial := within(body, 1, nil)
	var n uint64
	why = string(within(partial, 2, nil))
	within(partial, 1, &n)
	return int(n), why
}

// within is the field of a message in protobuf that has a number: its bytes, or in n what is
// there as a number. It is empty where there is none.
func within(message []byte, number uint64, n *uint64) []byte {
	for len(message) > 0 {
		tag, read := binary.Uvarint(message)
		if read <= 0 {
			return nil
		}
		message = message[read:]
		value, read := binary.Uvarint(message)
		if read <= 0 {
			return nil
		}
		message = message[read:]
		switch tag & 7 {
		case wireVarint:
			if tag>>3 == number && n != nil {
				*n = value
				return nil
			}
		case wireBytes:
			if value > uint64(len(message)) {
				return nil
			}
			if tag>>3 == number && n == nil {
				return message[:value]
			}
			message = message[value:]
		default:
			return nil
		}
	}
	return nil
}
