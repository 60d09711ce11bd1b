package server

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/events"
)

// exportedRequest is a request as files of the history have it.
type exportedRequest struct {
	apiRequest
	Approved  []access.Principal `json:"approvedBy"`
	Denied    []access.Principal `json:"deniedBy"`
	Policy    string             `json:"policy,omitempty"`
	Extends   string             `json:"extends,omitempty"`
	Reviewed  string             `json:"reviewed,omitempty"`
	Condition []string           `json:"conditions"`
}

func exported(q access.Request) exportedRequest {
	e := exportedRequest{apiRequest: requestOf(q), Approved: []access.Principal{}, Denied: []access.Principal{}, Condition: []string{},
		Policy: q.Terms.Policy, Extends: q.Extends, Reviewed: stamp(q.Review.At)}
	e.Approved = append(e.Approved, q.ApprovedBy()...)
	for _, d := range q.Decisions {
		if d.Verdict == access.Deny {
			e.Denied = append(e.Denied, d.By)
		}
	}
	for _, id := range q.Entitlements {
		e.Condition = append(e.Condition, id.Condition)
	}
	return e
}

// columns are those of the file of comma-separated values, in their order.
var columns = []struct {
	name string
	of   func(e exportedRequest) string
}{
	{"id", func(e exportedRequest) string { return e.ActivationID }},
	{"kind", func(e exportedRequest) string { return e.Kind }},
	{"state", func(e exportedRequest) string { return e.State }},
	{"principal", func(e exportedRequest) string { return string(e.Beneficiary.Email) }},
	{"resource", func(e exportedRequest) string { return e.Resource }},
	{"roles", func(e exportedRequest) string { return strings.Join(e.Roles, " ") }},
	{"conditions", func(e exportedRequest) string { return strings.TrimSpace(strings.Join(e.Condition, "\n")) }},
	{"justification", func(e exportedRequest) string { return e.Justification }},
	{"minutes", func(e exportedRequest) string { return strconv.Itoa(e.Minutes) }},
	{"created", func(e exportedRequest) string { return e.Created }},
	{"start", func(e exportedRequest) string { return e.StartTime }},
	{"end", func(e exportedRequest) string { return e.EndTime }},
	{"reviewers", func(e exportedRequest) string { return strings.Join(e.Reviewers, " ") }},
	{"approvedBy", func(e exportedRequest) string { return spaced(e.Approved) }},
	{"deniedBy", func(e exportedRequest) string { return spaced(e.Denied) }},
	{"rule", func(e exportedRequest) string { return e.Rule }},
	{"policy", func(e exportedRequest) string { return e.Policy }},
	{"extends", func(e exportedRequest) string { return e.Extends }},
	{"reviewed", func(e exportedRequest) string { return e.Reviewed }},
}

func spaced(people []access.Principal) string {
	var texts []string
	for _, p := range people {
		texts = append(texts, string(p))
	}
	return strings.Join(texts, " ")
}

// historyCSV streams what matches, a line for each request.
func (s *server) historyCSV(w http.ResponseWriter, r *http.Request) {
	var lines *csv.Writer
	write := func(record func(i int) string) error {
		fields := make([]string, len(columns))
		for i := range columns {
			fields[i] = access.Cell(record(i))
		}
		return lines.Write(fields)
	}
	s.export(w, r, "text/csv; charset=utf-8", "csv", func(out io.Writer) error {
		lines = csv.NewWriter(out)
		return write(func(i int) string { return columns[i].name })
	}, func(e exportedRequest) error {
		return write(func(i int) string { return columns[i].of(e) })
	}, func() error {
		lines.Flush()
		return lines.Error()
	})
}

// historyJSON streams what matches, as one object.
func (s *server) historyJSON(w http.ResponseWriter, r *http.Request) {
	var out io.Writer
	before := `{"requests":[`
	s.export(w, r, "application/json; charset=utf-8", "json", func(to io.Writer) error {
		out = to
		return nil
	}, func(e exportedRequest) error {
		text, err := json.Marshal(e)
		if err == nil {
			_, err = out.Write(append([]byte(before), text...))
			before = ",\n"
		}
		return err
	}, func() error {
		if before != ",\n" {
			before += "]}\n"
		} else {
			before = "]}\n"
		}
		_, err := io.WriteString(out, before)
		return err
	})
}

// export streams a file, a page of the list at a time. What fails before anything was
// sent is a refusal. What fails later breaks the connection off, so that nobody takes a
// part for the whole.
func (s *server) export(w http.ResponseWriter, r *http.Request, contentType, extension string, begin func(io.Writer) error,
	each func(exportedRequest) error, end func() error) {
	wanted, _, _, err := s.filtered(r)
	wanted.After = ""
	begun := false
	for err == nil {
		var listed access.Listed
		if listed, _, err = s.Broker.History(r.Context(), callerOf(r), broker.ViewAll, wanted); err != nil {
			break
		}
		if !begun {
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("Content-Disposition", `attachment; filename="history.`+extension+`"`)
			begun = true
			err = begin(w)
		}
		for _, q := range listed.Requests {
			if err == nil {
				err = each(exported(q))
			}
		}
		if wanted.After = listed.Next; err == nil && wanted.After == "" {
			err = end()
			break
		}
	}
	switch {
	case err == nil:
	case begun:
		s.logEvent(r, slog.LevelWarn, events.Warning, "the export was broken off", slog.Any("error", err))
		panic(http.ErrAbortHandler)
	default:
		s.refuse(w, r, err)
	}
}
