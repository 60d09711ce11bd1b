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
	Approved []access.Principal `json:"approvedBy"`
	// Signed are those of Approved whose approval is signed with a passkey. Who reads a file
	// verifies it by jitaccess ledger verify.
	Signed    []access.Principal `json:"signedBy"`
	Denied    []access.Principal `json:"deniedBy"`
	Policy    string             `json:"policy,omitempty"`
	Extends   string             `json:"extends,omitempty"`
	Reviewed  string             `json:"reviewed,omitempty"`
	Condition []string           `json:"conditions"`
}

func exported(q access.Request) exportedRequest {
	e := exportedRequest{apiRequest: requestOf(q), Approved: append([]access.Principal{}, q.ApprovedBy()...), Denied: []access.Principal{},
		Signed: []access.Principal{}, Condition: []string{}, Policy: q.Terms.Policy, Extends: q.Extends, Reviewed: stamp(q.Review.At)}
	for _, d := range q.Decisions {
		if d.Verdict == access.Deny {
			e.Denied = append(e.Denied, d.By)
		} else if signed(q, d) {
			e.Signed = append(e.Signed, d.By)
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
	{"application", func(e exportedRequest) string { return e.asked().Application }},
	{"sub", func(e exportedRequest) string { return e.asked().Subject }},
	{"title", func(e exportedRequest) string { return e.asked().Title }},
	{"data", func(e exportedRequest) string { return named(e.asked().Data) }},
	{"claims", func(e exportedRequest) string { return named(e.asked().Claims) }},
	{"signedBy", func(e exportedRequest) string { return spaced(e.Signed) }},
	{"attestation", func(e exportedRequest) string { return string(e.Attestation) }},
}

// asked is what an application asked for; zero for what people did.
func (e exportedRequest) asked() apiAsking {
	if e.Asking == nil {
		return apiAsking{}
	}
	return *e.Asking
}

// named are values with their names, a line each.
func named(data []apiDatum) string {
	return strings.Join(access.Each(data, func(d apiDatum) string { return d.Name + ": " + d.Value }), "\n")
}

func spaced(people []access.Principal) string { return strings.Join(access.Texts(people), " ") }

// file is a form of the history: what it begins and ends with, what stands between
// requests, and a request.
type file struct {
	contentType, extension string
	begin, between, end    string
	request                func(exportedRequest) string
}

// csvFile has a line for each request, jsonFile is one object.
var (
	csvFile = file{contentType: "text/csv; charset=utf-8", extension: "csv", begin: csvLine(func(i int) string { return columns[i].name }),
		request: func(e exportedRequest) string { return csvLine(func(i int) string { return columns[i].of(e) }) }}
	jsonFile = file{contentType: "application/json; charset=utf-8", extension: "json", begin: `{"requests":[`, between: ",\n", end: "]}\n",
		request: func(e exportedRequest) string {
			text, _ := json.Marshal(e) // as in writeJSON
			return string(text)
		}}
)

func csvLine(of func(column int) string) string {
	var b strings.Builder
	fields := make([]string, len(columns))
	for i := range columns {
		fields[i] = access.Cell(of(i))
	}
	w := csv.NewWriter(&b)
	w.Write(fields) // a Builder takes all
	w.Flush()
	return b.String()
}

// export streams a file, a page of the list at a time. What fails before anything was
// sent is a refusal. What fails later breaks the connection off, so that nobody takes a
// part for the whole.
func (s *server) export(f file) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		wanted, _, _, err := s.filtered(r)
		wanted.After = ""
		between := ""
		for begun := false; ; begun = true {
			var listed access.Listed
			if err == nil {
				listed, _, err = s.Broker.History(r.Context(), callerOf(r), broker.ViewAll, wanted)
			}
			switch {
			case err == nil:
			case begun:
				s.logEvent(r, slog.LevelWarn, events.Warning, "the export was broken off", slog.Any("error", err))
				panic(http.ErrAbortHandler)
			default:
				s.refuse(w, r, err)
				return
			}
			var text strings.Builder
			if !begun {
				w.Header().Set("Content-Type", f.contentType)
				w.Header().Set("Content-Disposition", `attachment; filename="history.`+f.extension+`"`)
				text.WriteString(f.begin)
			}
			for _, q := range listed.Requests {
				text.WriteString(between + f.request(exported(q)))
				between = f.between
			}
			if wanted.After = listed.Next; wanted.After == "" {
				io.WriteString(w, text.String()+f.end) // who has gone meanwhile learns nothing
				return
			}
			_, err = io.WriteString(w, text.String())
		}
	}
}
