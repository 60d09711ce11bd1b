package notice

import (
	"jitaccess/internal/access"
)

// said is a text about a request: peoples of what people ask, applications of what an
// application does.
func (w Writer) said(r access.Request, peoples, applications string, args ...any) string {
	args = append(args, "principal", w.person(r), "resource", w.resource(r.Resource))
	if r.Asking.IsZero() {
		return w.text(peoples, args...)
	}
	return w.text(applications, append(args, "application", r.Asking.Application)...)
}

// asking is what an application asks for: the title first, whom it is for, and what it sent.
func (w Writer) asking(n access.Notice) []Row {
	a := n.Request.Asking
	whom := w.row("notice.asking.whom", w.person(n.Request))
	switch {
	case a.Unlinked:
		whom.Details = []string{w.text("notice.asking.unlinked")}
	case a.Subject != string(n.Request.Principal) && !w.Reasonless:
		whom.Details = []string{w.text("notice.asking.subject", "application", a.Application, "subject", plain(a.Subject, maxUserText))}
	}
	whom.Details = append(whom.Details, w.alike(a.Subject)...)
	rows := append(w.wrote("notice.asking.title", a.Title), whom, w.row("notice.asking.application", a.Application))
	for i, id := range n.Request.Entitlements {
		template := w.row("notice.asking.template", a.Template)
		if i < len(n.Roles) && n.Roles[i].Title != "" {
			template.Value, template.Details = plain(n.Roles[i].Title, maxTitle), append([]string{string(id.Role)}, w.alike(n.Roles[i].Title)...)
		}
		rows = append(rows, template)
	}
	if w.Reasonless {
		return rows
	}
	for _, d := range a.Data {
		rows = append(rows, Row{Label: plain(d.Label, maxTitle), Value: plain(d.Value, maxUserText), Details: w.alike(d.Value)})
	}
	for _, d := range a.Claims {
		value := plain(d.Value, maxUserText)
		if value == "" {
			value = w.text("asking.not-given")
		}
		rows = append(rows, Row{Label: w.text("asking.claim", "name", plain(d.Label, maxTitle)), Value: value, Details: w.alike(d.Value)})
	}
	return rows
}
