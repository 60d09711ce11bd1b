package server

import (
	"slices"
	"strings"

	"jitaccess/internal/access"
	"jitaccess/internal/application"
	"jitaccess/internal/application/managed"
	"jitaccess/internal/words"
)

// difference is what a change that waits makes of one thing; of what is new there is no Was, and
// of what is gone no Is.
type difference struct{ Of, Was, Is string }

// differences are all that the change of an application that waits makes otherwise, so that
// whoever agrees has seen what holds then.
func differences(l *words.Language, a managed.View) []difference {
	var all []difference
	add := func(of, was, is string) {
		if was, is = strings.TrimSpace(was), strings.TrimSpace(is); was != is {
			all = append(all, difference{of, was, is})
		}
	}
	yes := func(is bool) string {
		if is {
			return l.Text("apps.yes")
		}
		return l.Text("apps.no")
	}
	ids := func(keys []managed.KeyView) string {
		return strings.Join(access.Each(keys, func(k managed.KeyView) string { return k.ID }), ", ")
	}
	to := a.Waiting.To
	add(l.Text("apps.template.active"), yes(a.Active), yes(to.Active))
	add(l.Text("apps.uri"), a.URI, to.URI)
	add(l.Text("apps.hosts"), strings.Join(a.CallbackHosts, ", "), strings.Join(to.CallbackHosts, ", "))
	add(l.Text("apps.keys"), ids(a.Keys), ids(a.Waiting.Keys))
	for _, t := range slices.Concat(to.Templates, a.Templates) {
		of := func(templates []application.Template) templateForm {
			at := slices.IndexFunc(templates, func(o application.Template) bool { return o.Key == t.Key })
			if at < 0 {
				return templateForm{}
			}
			return formOf(templates[at])
		}
		was, is := of(a.Templates), of(to.Templates)
		whole := difference{l.Text("apps.change.template", "key", t.Key), was.Key, is.Key}
		if was.Key == is.Key {
			whole.Was = ""
		}
		if slices.Contains(all, whole) || was == is {
			continue
		}
		all = append(all, whole)
		add(l.Text("apps.template.name"), was.Name, is.Name)
		add(l.Text("apps.template.title"), was.Title, is.Title)
		add(l.Text("apps.template.sign"), yes(was.Sign), yes(is.Sign))
		add(l.Text("apps.template.data"), was.Data, is.Data)
		add(l.Text("apps.template.claims"), was.Claims, is.Claims)
		add(l.Text("apps.template.approvers"), was.Approvers, is.Approvers)
		add(l.Text("apps.template.approvals"), was.Approvals, is.Approvals)
		add(l.Text("apps.template.max"), was.Max, is.Max)
		add(l.Text("apps.template.default"), was.Default, is.Default)
		add(l.Text("apps.template.life"), was.Life, is.Life)
		add(l.Text("apps.template.metadata"), was.Metadata, is.Metadata)
		add(l.Text("apps.template.show-unlinked"), yes(was.Unlinked), yes(is.Unlinked))
		add(l.Text("apps.template.active"), yes(was.Active), yes(is.Active))
	}
	return all
}
