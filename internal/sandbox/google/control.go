package google

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
)

// control is the control API: what Faults does, over HTTP. Bodies and answers are
// JSON.
func (c *Cloud) control() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, serve func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			answer, err := serve(r)
			if err != nil {
				err = failure(http.StatusBadRequest, "%v", err)
			}
			if answer == nil {
				answer = struct{}{}
			}
			respond(w, r, answer, err)
		})
	}
	f := c.faults
	handle("GET /control/faults", func(*http.Request) (any, error) { return f.list(), nil })
	handle("POST /control/faults", func(r *http.Request) (any, error) {
		var fault Fault
		if err := decode(r, &fault); err != nil {
			return nil, err
		}
		if fault.Lose != "" && fault.Lose != LoseByReset && fault.Lose != LoseByHang {
			return nil, errors.New(`lose is "reset" or "hang"`)
		}
		if fault.Status != 0 && (fault.Status < 200 || fault.Status > 599) {
			return nil, errors.New("status is an HTTP status")
		}
		return map[string]int{"id": f.Add(fault)}, nil
	})
	handle("DELETE /control/faults", func(*http.Request) (any, error) { f.Clear(); return nil, nil })
	handle("DELETE /control/faults/{id}", func(r *http.Request) (any, error) {
		id, err := strconv.Atoi(r.PathValue("id"))
		f.Remove(id)
		return nil, err
	})
	handle("POST /control/conflicts", func(r *http.Request) (any, error) {
		var b struct {
			Resource string `json:"resource"`
			Times    int    `json:"times"`
		}
		if err := decode(r, &b); err != nil {
			return nil, err
		}
		return map[string]int{"id": f.Conflict(b.Resource, max(b.Times, 1))}, nil
	})
	handle("POST /control/keys/rotate", func(*http.Request) (any, error) { return nil, f.RotateKeys() })
	handle("POST /control/keys/drop", func(*http.Request) (any, error) { f.DropOldKeys(); return nil, nil })
	c.controlSwitches(handle)
	c.controlViews(handle)
	c.controlQuotas(handle)
	return mux
}

// controlSwitches are those of one value.
func (c *Cloud) controlSwitches(handle func(string, func(*http.Request) (any, error))) {
	f := c.faults
	flag := func(set func(bool)) func(*http.Request) (any, error) {
		return func(r *http.Request) (any, error) {
			var b struct {
				On bool `json:"on"`
			}
			err := decode(r, &b)
			if err == nil {
				set(b.On)
			}
			return nil, err
		}
	}
	word := func(set func(string)) func(*http.Request) (any, error) {
		return func(r *http.Request) (any, error) {
			var b struct {
				Value string `json:"value"`
			}
			err := decode(r, &b)
			if err == nil && b.Value == "" {
				err = errors.New("value is empty")
			}
			if err == nil {
				set(b.Value)
			}
			return nil, err
		}
	}
	handle("POST /control/inventory/freeze", flag(f.FreezeInventory))
	handle("POST /control/bindings/reorder", flag(f.ReorderBindings))
	handle("POST /control/policies/whole", flag(f.ReplaceWholePolicy))
	handle("POST /control/permissions/revoke", word(f.RevokePermission))
	handle("POST /control/permissions/restore", func(*http.Request) (any, error) { f.RestorePermissions(); return nil, nil })
	handle("POST /control/eligibility/remove", word(f.RemoveEligibility))
	handle("POST /control/projects/move", func(r *http.Request) (any, error) {
		var b struct {
			Project string `json:"project"`
			Parent  string `json:"parent"`
		}
		if err := decode(r, &b); err != nil {
			return nil, err
		}
		return nil, f.MoveProject(b.Project, b.Parent)
	})
	handle("POST /control/people/delete", word(f.DeletePerson))
	handle("POST /control/reset", func(*http.Request) (any, error) { f.Reset(); return nil, nil })
}

// controlViews are those that look, and the tokens to look with.
func (c *Cloud) controlViews(handle func(string, func(*http.Request) (any, error))) {
	handle("GET /control/calls", func(*http.Request) (any, error) { return c.calls.All(), nil })
	handle("DELETE /control/calls", func(*http.Request) (any, error) { c.calls.Reset(); return nil, nil })
	handle("GET /control/people", func(*http.Request) (any, error) { return c.People(), nil })
	handle("GET /control/policy", func(r *http.Request) (any, error) {
		policy, err := c.Policy(r.URL.Query().Get("resource"))
		return json.RawMessage(policy), err
	})
	handle("GET /control/messages", func(r *http.Request) (any, error) {
		messages := c.Published(r.URL.Query().Get("topic"))
		if messages == nil {
			messages = []Message{}
		}
		return messages, nil
	})
	handle("POST /control/tokens", func(r *http.Request) (any, error) {
		var b struct {
			Email  string   `json:"email"`
			Scopes []string `json:"scopes"`
		}
		if err := decode(r, &b); err != nil {
			return nil, err
		}
		token, err := c.IssueToken(b.Email, b.Scopes...)
		return map[string]string{"accessToken": token}, err
	})
}

func decode(r *http.Request, into any) error {
	d := json.NewDecoder(io.LimitReader(r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil && err != io.EOF {
		return err
	}
	return nil
}
