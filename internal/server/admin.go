package server

import (
	"net/http"
	"path"
	"strings"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// atAdminPage is whether an address, as it was sent, is the administration page or below it.
// A proxy chose its route by that text. What could be read as another path by the one or the
// other is not: anything escaped, segments of dots, empty ones, parameters.
func atAdminPage(sent string) bool {
	raw, _, _ := strings.Cut(sent, "?")
	return (raw == broker.AdminPath || strings.HasPrefix(raw, broker.AdminPath+"/")) &&
		!strings.ContainsAny(raw, `%\;`) && path.Clean(raw) == raw
}

// doorOf is what comes before the addresses of what is decided: those of the administration
// page for whoever is there.
func doorOf(r *http.Request) string {
	if r.URL.Path == broker.AdminPath || strings.HasPrefix(r.URL.Path, broker.AdminPath+"/") {
		return broker.AdminPath
	}
	return ""
}

// adminView is the administration page: what waits, and what is active.
type adminView struct {
	Frame
	// Guarded: nobody is named who approves, and the page says what that rests on.
	Guarded  bool
	Waiting  []rowView
	Active   []activeView
	Warnings []string
}

// activeView is a grant that the viewer may end.
type activeView struct {
	RoleView
	Resource access.Resource
	// On is its name, unless the title says it.
	On  string
	Who access.Principal
}

func (s *server) administration(r *http.Request) (page, error) {
	found, err := s.Broker.Administration(r.Context(), callerOf(r))
	if err != nil {
		return page{}, err
	}
	v := adminView{Frame: s.frame(r, "admin.title"), Guarded: found.Guarded, Warnings: s.viewWarnings(r, found.Warnings),
		Waiting: s.rowsOf(r, found.Waiting, false)}
	for i := range v.Waiting {
		v.Waiting[i].Door, v.Waiting[i].Own = broker.AdminPath, v.Waiting[i].Principal == v.User
	}
	for _, a := range found.Active {
		role := s.granted(r, s.viewRole(r, a.Entitlement, access.RoleInfo{ChangesPermissions: access.No}), a)
		on := a.Entitlement.Resource
		v.Active = append(v.Active, activeView{role, on, unsaid(role.Title, s.called(s.languageOf(r), on)), a.Principal})
	}
	return page{template: "admin", status: http.StatusOK, data: v}, nil
}
