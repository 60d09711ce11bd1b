// Package journal writes down what was decided and what became of it, as one JSON
// object a line, in the form that Cloud Logging reads. Events and labels are those
// of JIT Access 1.x, so that queries and alerts keep working; docs/log.md has the
// table. The process's ordinary log lines take the same form and the same way out.
package journal

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/events"
	"jitaccess/internal/lazyregexp"
	"jitaccess/internal/redact"
)

// Severities of Cloud Logging, as far as they are used.
const (
	severityDebug    = "DEBUG"
	severityInfo     = "INFO"
	severityWarning  = "WARNING"
	severityError    = "ERROR"
	severityCritical = "CRITICAL"
	severityAlert    = "ALERT"
)

// The longest texts, in bytes. What the product itself lets through is shorter;
// Cloud Logging takes 256 KiB a line.
const (
	maxLabel   = 4 << 10
	maxMessage = 8 << 10
	maxLabels  = 50
)

// Journal writes lines to one writer. Make one with New; it may be used concurrently.
type Journal struct {
	project string

	mutex sync.Mutex
	w     io.Writer
}

// New makes a Journal. Lines belong to traces of the project; empty leaves traces out.
func New(w io.Writer, project string) *Journal { return &Journal{w: w, project: project} }

// line is a log entry.
type line struct {
	Severity string            `json:"severity"`
	Message  string            `json:"message"`
	Time     string            `json:"time,omitempty"`
	Labels   map[string]string `json:"logging.googleapis.com/labels"`
	Trace    string            `json:"logging.googleapis.com/trace,omitempty"`
}

// Record writes one line for the event. On nil all of it has been handed to the writer.
func (j *Journal) Record(ctx context.Context, e access.Event) error {
	l := describe(e)
	maps.Copy(l.Labels, events.CallerLabels(e.Caller))
	if err := j.write(ctx, l, e.At); err != nil {
		return &access.Error{Kind: access.Unavailable, Code: access.CodeJournalUnavailable, Err: err}
	}
	return nil
}

// write completes a line with what the context knows and writes it in one call.
func (j *Journal) write(ctx context.Context, l line, at time.Time) error {
	if id := contextText(ctx, incidentKey); id != "" && l.Severity != severityDebug && l.Severity != severityInfo {
		l.Labels["incident"] = id
	}
	// People put tokens into any field. What remains of one that was cut off is recognized
	// too, so that no more is looked through than is written.
	l.Message = redact.Tokens(access.Clip(l.Message, maxMessage))
	for name, value := range l.Labels {
		l.Labels[name] = redact.Tokens(access.Clip(value, maxLabel))
	}
	if trace := contextText(ctx, traceKey); trace != "" && j.project != "" {
		l.Trace = "projects/" + j.project + "/traces/" + trace
	}
	if !at.IsZero() {
		l.Time = at.UTC().Format(time.RFC3339Nano)
	}
	text, err := encode(l)
	if err != nil {
		return err
	}
	j.mutex.Lock()
	defer j.mutex.Unlock()
	n, err := j.w.Write(text)
	if err == nil && n < len(text) {
		err = io.ErrShortWrite
	}
	return err
}

// encode makes one line of JSON, ending in a line break.
func encode(l line) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(l); err != nil {
		return nil, err
	}
	return access.VisibleJSON(buffer.Bytes()), nil
}

// scrub takes secrets out of a text that the product did not write itself. A
// justification is evidence and is never scrubbed: of it write takes nothing but what is
// a token by its form. What would be cut off later is not
// looked through.
func scrub(text string) string { return redact.Credentials(access.Clip(text, maxMessage)) }

type contextKey int

const (
	traceKey contextKey = iota
	incidentKey
)

// WithIncident marks every warning and error that is logged with the context as
// belonging to an incident: the id that a person is shown if they are refused. What
// goes well belongs to none.
func WithIncident(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, incidentKey, access.Clip(id, 64))
}

func contextText(ctx context.Context, key contextKey) string {
	text, _ := ctx.Value(key).(string)
	return text
}

var (
	// cloudTrace is TRACE_ID[/SPAN_ID][;o=OPTIONS].
	cloudTrace = lazyregexp.New(`^([0-9a-fA-F]{32})(?:/[0-9]{1,20})?(?:;o=[0-9]{1,3})?$`)
	// traceParent is VERSION-TRACE_ID-PARENT_ID-FLAGS (W3C Trace Context, 3.2).
	traceParent = lazyregexp.New(`^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$`)
)

// Trace is middleware that keeps the id of the trace that a request belongs to, so
// that Cloud Logging shows its lines together with those of the load balancer. Ids
// that are not of the defined form are ignored; they decide nothing.
func Trace(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := cmp.Or(parseTrace(cloudTrace(), r.Header.Get("X-Cloud-Trace-Context")), parseTrace(traceParent(), r.Header.Get("Traceparent")))
		if id != "" {
			r = r.WithContext(context.WithValue(r.Context(), traceKey, id))
		}
		next.ServeHTTP(w, r)
	})
}

func parseTrace(form *regexp.Regexp, header string) string {
	match := form.FindStringSubmatch(header)
	if match == nil || strings.Trim(match[1], "0") == "" {
		return ""
	}
	return strings.ToLower(match[1])
}

// Handler is for the process's ordinary log lines: they share the journal's writer,
// and so cannot tear its lines. Attributes become labels; groups are joined with
// dots. An attribute "error" that is one of package access becomes the labels that
// events have, and its text the end of the message. A line of a level below the
// given one is dropped.
func (j *Journal) Handler(level slog.Level) slog.Handler {
	return &handler{journal: j, level: level, labels: map[string]string{}}
}

type handler struct {
	journal *Journal
	level   slog.Level
	prefix  string
	// labels are those of WithAttrs; never changed in place.
	labels map[string]string
}

func (h *handler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	labels := maps.Clone(h.labels)
	message := scrub(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		var own *access.Error
		if err, ok := a.Value.Any().(error); ok && h.prefix+a.Key == "error" && errors.As(err, &own) {
			labels["error"], labels["error_code"] = errorName("", own), string(own.Code)
			message += ": " + scrub(err.Error())
			return true
		}
		add(labels, h.prefix, a)
		return true
	})
	return h.journal.write(ctx, line{Severity: severity(r.Level), Message: message, Labels: labels}, r.Time)
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	labels := maps.Clone(h.labels)
	for _, a := range attrs {
		add(labels, h.prefix, a)
	}
	return &handler{h.journal, h.level, h.prefix, labels}
}

func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return &handler{h.journal, h.level, h.prefix + name + ".", h.labels}
}

// add turns an attribute into labels. Handlers are told to ignore empty ones.
func add(labels map[string]string, prefix string, a slog.Attr) {
	value := a.Value.Resolve()
	if a.Equal(slog.Attr{}) || len(labels) >= maxLabels {
		return
	}
	if value.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, member := range value.Group() {
			add(labels, prefix, member)
		}
		return
	}
	text := value.String()
	if value.Kind() == slog.KindTime {
		text = value.Time().UTC().Format(time.RFC3339Nano)
	}
	labels[prefix+a.Key] = scrub(text)
}

// LevelAlert is for what somebody is to look at now.
const LevelAlert = slog.LevelError + 8

func severity(level slog.Level) string {
	switch {
	case level < slog.LevelInfo:
		return severityDebug
	case level < slog.LevelWarn:
		return severityInfo
	case level < slog.LevelError:
		return severityWarning
	case level < slog.LevelError+4:
		return severityError
	case level < LevelAlert:
		return severityCritical
	}
	return severityAlert
}
