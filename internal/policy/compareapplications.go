package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"jitaccess/internal/access"
	"jitaccess/internal/application"
)

// ApplicationChange is what became of an application of a file, or of one of its templates (Of).
type ApplicationChange struct {
	Change  Change
	Of      string
	Differs []string
}

// CompareApplications says what a new policy makes of the applications of an old one, sorted by
// application and template; of what is as before nothing. That more may be asked for is Allowed or
// Looser; what is neither more nor less, such as a title, is Different.
func CompareApplications(old, now Refined, explain func(Refined, access.EntitlementID) Explanation) []ApplicationChange {
	var all []ApplicationChange
	was, is := byName(old.File()), byName(now.File())
	for _, name := range slices.Sorted(maps.Keys(merged(was, is))) {
		a, before := was[name]
		b, after := is[name]
		of := "application " + name
		switch {
		case !before:
			all = append(all, ApplicationChange{Allowed, of, []string{"is new"}})
		case !after:
			all = append(all, ApplicationChange{Refused, of, []string{"is gone"}})
		default:
			if differs := differing(settingKeys, settings(a), settings(b)); len(differs) > 0 {
				all = append(all, ApplicationChange{Different, of, differs})
			}
		}
		templates, newer := byKey(a), byKey(b)
		for _, key := range slices.Sorted(maps.Keys(merged(templates, newer))) {
			t, before := templates[key]
			u, after := newer[key]
			of := calledTemplate(name, key)
			switch {
			case !before || after && u.Active && b.Active && !(t.Active && a.Active):
				all = append(all, ApplicationChange{Allowed, of, Describe(u.Terms())})
			case !after || t.Active && a.Active && !(u.Active && b.Active):
				all = append(all, ApplicationChange{Refused, of, []string{"may not be asked for any more"}})
			default:
				id := application.EntitlementID(name, key)
				change, differs := Compare(explain(old, id), explain(now, id))
				more := differing(templateKeys, shown(t), shown(u))
				switch {
				case t.ShowUnlinked != u.ShowUnlinked && (change == Same || change == map[bool]Change{true: Looser, false: Tighter}[u.ShowUnlinked]):
					change = map[bool]Change{true: Looser, false: Tighter}[u.ShowUnlinked]
				case len(more) > 0 && change == Same:
					change = Different
				}
				if change != Same {
					all = append(all, ApplicationChange{change, of, append(differs, more...)})
				}
			}
		}
	}
	return all
}

func byName(f *File) map[string]Application {
	all := map[string]Application{}
	for _, a := range f.Applications {
		all[a.Name] = a
	}
	return all
}

func byKey(a Application) map[string]application.Template {
	all := map[string]application.Template{}
	for _, t := range a.Templates {
		all[t.Key] = t
	}
	return all
}

func merged[V any](a, b map[string]V) map[string]V {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// differing are those of some keys whose values differ, in words.
func differing(keys, was, is []string) (differs []string) {
	for i, key := range keys {
		if was[i] != is[i] {
			differs = append(differs, fmt.Sprintf("%s: %s → %s", key, orNone(was[i]), orNone(is[i])))
		}
	}
	return differs
}

var settingKeys = []string{"uri", "signing_key", "app_id", "installations", "private_key", "webhook_secret", "api", "callback_hosts"}

func settings(a Application) []string {
	g := GitHub{}
	if a.GitHub != nil {
		g = *a.GitHub
	}
	return []string{a.URI, strings.Join(a.SigningKeys, ", "), g.AppID, g.InstallationsText(), g.PrivateKey,
		strings.Join(g.WebhookSecrets, ", "), g.API, strings.Join(slices.Sorted(slices.Values(a.CallbackHosts)), ", ")}
}

// templateKeys are what of a template is no term.
var templateKeys = []string{"name", "title", "data", "claims", "default_duration", "metadata", "unlinked"}

func shown(t application.Template) []string {
	var data, metadata []string
	for _, f := range t.Data {
		one := f.Name + " (" + f.Label
		if f.Pattern != nil {
			one += ", " + f.Pattern.String()
		}
		data = append(data, one+")")
	}
	for _, name := range slices.Sorted(maps.Keys(t.Metadata)) {
		metadata = append(metadata, name+"="+t.Metadata[name])
	}
	unlinked := "refuse"
	if t.ShowUnlinked {
		unlinked = "show"
	}
	return []string{t.Name, t.Title, strings.Join(data, ", "), strings.Join(t.Claims, ", "), Length(t.DefaultDuration),
		strings.Join(metadata, ", "), unlinked}
}
