package conformance

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
)

// marks is the only collection in which runs write. What is in it is of a run.
const marks = "jitaccess-conformance"

// Where what is assumed of Firestore is said.
const (
	firestoreErrors  = "https://cloud.google.com/firestore/docs/understand-error-codes"
	firestoreIndexes = "https://cloud.google.com/firestore/docs/query-data/index-overview"
	firestoreQuotas  = "https://cloud.google.com/firestore/quotas"
	firestoreWrite   = "https://cloud.google.com/firestore/docs/reference/rest/v1/Write"
	firestoreOnly    = "https://cloud.google.com/firestore/docs/reference/rest/v1/Precondition"
	firestoreCount   = "https://cloud.google.com/firestore/docs/query-data/aggregation-queries"
)

// firestoreChecks are those of the ledger's home in Firestore (docs/firestore.md). They write in a database that is scratch.
var firestoreChecks = []check{
	inDatabase("firestore.precondition", "a write that follows on a version that was replaced is refused (400 FAILED_PRECONDITION), "+
		"with all that is in its commit", firestoreOnly, (*run).overReplaced),
	inDatabase("firestore.exists", "a document that is there is not made again (409 ALREADY_EXISTS)", firestoreErrors, (*run).madeAgain),
	inDatabase("firestore.size", "a document of more than 1 MiB is refused (400 INVALID_ARGUMENT), in words by which that is known",
		firestoreQuotas, (*run).tooLarge),
	inDatabase("firestore.clock", "when a write was taken (REQUEST_TIME) and when a document was read (readTime) are of one clock",
		firestoreWrite, (*run).oneClock),
	inDatabase("firestore.count", "an order counts what has its field, and nothing else", firestoreCount, (*run).ordered),
	inDatabase("firestore.index", "a query without its index is refused (400 FAILED_PRECONDITION) with the link that makes it",
		firestoreIndexes, (*run).unindexed),
	inDatabase("firestore.exempted", "a field that is exempted from indexes is not queried (400)", firestoreIndexes, (*run).exempted),
	inDatabase("firestore.database", "a database that is not there is said to be none (404)", firestoreErrors, (*run).noDatabase),
}

// inDatabase is a check that needs a database that is scratch.
func inDatabase(id, assumption, source string, try func(*run, context.Context, string) outcome) check {
	return check{id, assumption, source, func(r *run, ctx context.Context) outcome {
		if r.c.Database == "" {
			return untried("not tried: no database was named (--firestore)")
		}
		return try(r, ctx, id)
	}}
}

// firestore makes a call of a database. Of an answer that is a list, and an error in it, the error is the answer.
func (r *run) firestore(ctx context.Context, check, database, method string, body any) answer {
	name := (&url.URL{Path: "projects/" + r.c.Project + "/databases/" + database}).EscapedPath()
	a := r.call(ctx, r.c.HTTP, check, r.c.Endpoint("firestore")+"/v1/"+name+method, body,
		"project_id="+r.c.Project+"&database_id="+url.QueryEscape(database))
	var all []struct {
		Error *struct{ Code int }
	}
	var parts []json.RawMessage
	if json.Unmarshal(a.body, &all) != nil || json.Unmarshal(a.body, &parts) != nil {
		return a
	}
	for i, one := range all {
		if one.Error != nil {
			return answer{status: one.Error.Code, body: parts[i]}
		}
	}
	return a
}

// document names one of a run.
func (r *run) document(id string) string {
	return fmt.Sprintf("projects/%s/databases/%s/documents/%s/%s", r.c.Project, r.c.Database, marks, id)
}

type object = map[string]any

// update is the write of a document; only is its precondition, and may be empty.
func (r *run) update(id string, fields, only object) object {
	return object{"update": object{"name": r.document(id), "fields": fields}, "currentDocument": only}
}

func integer(n int) object { return object{"integerValue": fmt.Sprint(n)} }

// committed is the answer to a commit.
type committed struct {
	WriteResults []struct {
		UpdateTime       time.Time
		TransformResults []struct{ TimestampValue time.Time }
	}
}

// commit writes all, or nothing. As with policies what has begun is waited for.
func (r *run) commit(ctx context.Context, check string, writes ...object) (c committed, a answer) {
	if err := ctx.Err(); err != nil {
		return c, answer{err: err}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writing)
	defer cancel()
	a = r.firestore(ctx, check, r.c.Database, "/documents:commit", object{"writes": writes})
	if a.ok() {
		if err := json.Unmarshal(a.body, &c); err != nil || len(c.WriteResults) != len(writes) {
			return c, answer{err: cmp.Or(err, fmt.Errorf("%s of %s", access.Counted(len(c.WriteResults), "result", "results"),
				access.Counted(len(writes), "write", "writes")))}
		}
	}
	return c, a
}

// element is one of an answer to a query, or to a look at documents.
type element struct {
	Document, Found *struct {
		Name   string
		Fields map[string]struct{ IntegerValue string }
	}
	Result *struct {
		AggregateFields map[string]struct{ IntegerValue string }
	}
	ReadTime time.Time
}

// look makes a call of documents that changes nothing.
func (r *run) look(ctx context.Context, check, method string, body any) (all []element, a answer) {
	a = r.firestore(ctx, check, r.c.Database, "/documents:"+method, body)
	if a.ok() {
		if err := json.Unmarshal(a.body, &all); err != nil {
			return nil, answer{err: err}
		}
	}
	return all, a
}

// query is one of the run's documents. by is a field, and direction where it has an order.
func query(where object, by, direction string) object {
	q := object{"from": []object{{"collectionId": marks}}, "where": where, "limit": mostGone}
	if by != "" {
		q["orderBy"] = []object{{"field": object{"fieldPath": by}, "direction": direction}}
	}
	return object{"structuredQuery": q}
}

// equal is a condition of a query.
func equal(field string, value object) object {
	return object{"fieldFilter": object{"field": object{"fieldPath": field}, "op": "EQUAL", "value": value}}
}

// scratchDatabase refuses a database in which there is anything but what runs left.
func (r *run) scratchDatabase(ctx context.Context) error {
	if r.c.Database == "" {
		return nil
	}
	a := r.firestore(ctx, "start", r.c.Database, "/documents:listCollectionIds", object{"pageSize": 2})
	var found struct {
		CollectionIds []string
		NextPageToken string
	}
	switch {
	case !a.ok() && a.status != 0 && a.status < http.StatusInternalServerError:
		return Refused{fmt.Sprintf("the database %s cannot be looked at: %s", r.c.Database, a.said()),
			"make one in native mode that is for this alone, and give the account roles/datastore.user on it"}
	case !a.ok():
		return fmt.Errorf("the database %s cannot be looked at: %s", r.c.Database, a.said())
	}
	if err := json.Unmarshal(a.body, &found); err != nil {
		return fmt.Errorf("the database %s cannot be looked at: %w", r.c.Database, err)
	}
	others := slices.DeleteFunc(found.CollectionIds, func(id string) bool { return id == marks })
	if len(others) > 0 || found.NextPageToken != "" {
		return Refused{fmt.Sprintf("the database %s is in use: it has other documents (%s)", r.c.Database, strings.Join(others, ", ")),
			"make one that is for this alone"}
	}
	return nil
}

// mostGone is how many documents are removed at a time.
const mostGone = 100

// clearDatabase removes what runs have written, and says what it could not.
func (r *run) clearDatabase(ctx context.Context) []string {
	if r.c.Database == "" {
		return nil
	}
	for {
		all, a := r.look(ctx, "end", "runQuery", query(nil, "", ""))
		var writes []object
		for _, one := range all {
			if one.Document != nil {
				writes = append(writes, object{"delete": one.Document.Name})
			}
		}
		if a.ok() && len(writes) == 0 {
			return nil
		}
		if a.ok() {
			_, a = r.commit(ctx, "end", writes...)
		}
		if !a.ok() {
			return []string{fmt.Sprintf("the database could not be cleaned (%s): run it again, or delete the collection %s", a.said(), marks)}
		}
	}
}

// overReplaced writes a document twice, and then over its first version.
func (r *run) overReplaced(ctx context.Context, id string) outcome {
	first, a := r.commit(ctx, "start", r.update("replaced", object{"n": integer(1)}, object{"exists": false}))
	if a.ok() {
		_, a = r.commit(ctx, "start", r.update("replaced", object{"n": integer(2)}, nil))
	}
	if !a.ok() {
		return silence(a)
	}
	_, a = r.commit(ctx, id, r.update("beside", object{"n": integer(3)}, object{"exists": false}),
		r.update("replaced", object{"n": integer(3)}, object{"updateTime": first.WriteResults[0].UpdateTime}))
	o := refusedWith(a, http.StatusBadRequest, "FAILED_PRECONDITION")
	if o.result != Passes {
		return o
	}
	all, a := r.look(ctx, "start", "batchGet", object{"documents": []string{r.document("replaced"), r.document("beside")}})
	if !a.ok() {
		return silence(a)
	}
	found := slices.DeleteFunc(all, func(e element) bool { return e.Found == nil })
	if len(found) != 1 || found[0].Found.Fields["n"].IntegerValue != "2" {
		return differs("it is refused, and written all the same")
	}
	return o
}

func (r *run) madeAgain(ctx context.Context, id string) outcome {
	again := r.update("made", object{"n": integer(1)}, object{"exists": false})
	if _, a := r.commit(ctx, "start", again); !a.ok() {
		return silence(a)
	}
	_, a := r.commit(ctx, id, again)
	return refusedWith(a, http.StatusConflict, "ALREADY_EXISTS")
}

// tooLarge writes two fields that are each small enough, as a request grows by entries.
func (r *run) tooLarge(ctx context.Context, id string) outcome {
	half := object{"bytesValue": base64.StdEncoding.EncodeToString(make([]byte, 600<<10))}
	_, a := r.commit(ctx, id, r.update("large", object{"a": half, "b": half}, nil))
	o := refusedWith(a, http.StatusBadRequest, "INVALID_ARGUMENT")
	known := func(words string) bool { return strings.Contains(strings.ToLower(a.text()), words) }
	words := []string{"longer than", "exceeds", "too large", "too big", "maximum entity size"} // internal/ledger/firestore/failure.go
	if o.result == Passes && !slices.ContainsFunc(words, known) {
		return differs("refused in words by which that is not known: %s", a.said())
	}
	return o
}

// oneClock writes and reads in turn. Times of writes are cut to milliseconds.
func (r *run) oneClock(ctx context.Context, id string) outcome {
	var times []time.Time
	for n := range 3 {
		take := r.update("lease", object{"n": integer(n)}, nil)
		take["updateTransforms"] = []object{{"fieldPath": "since", "setToServerValue": "REQUEST_TIME"}}
		c, a := r.commit(ctx, id, take)
		if !a.ok() {
			return silence(a)
		}
		if len(c.WriteResults[0].TransformResults) != 1 {
			return differs("the answer does not say when the write was taken")
		}
		all, a := r.look(ctx, id, "batchGet", object{"documents": []string{r.document("lease")}})
		if !a.ok() {
			return silence(a)
		}
		if len(all) != 1 || all[0].Found == nil || all[0].ReadTime.IsZero() {
			return differs("the answer does not say when it was read, or has not what was written")
		}
		times = append(times, c.WriteResults[0].TransformResults[0].TimestampValue, all[0].ReadTime)
	}
	for i, at := range times[1:] {
		if back := times[i].Sub(at); back > time.Millisecond {
			return differs("what came later has a time that is %s sooner", back)
		}
	}
	return passes("three writes and reads have times in their order")
}

func (r *run) ordered(ctx context.Context, id string) outcome {
	if _, a := r.commit(ctx, "start", r.update("count-1", object{"counted": integer(1)}, nil),
		r.update("count-2", object{"counted": integer(2)}, nil), r.update("count-3", object{"n": integer(3)}, nil)); !a.ok() {
		return silence(a)
	}
	count := query(nil, "counted", "ASCENDING")
	count["aggregations"] = []object{{"alias": "n", "count": object{}}}
	all, a := r.look(ctx, id, "runAggregationQuery", object{"structuredAggregationQuery": count})
	switch {
	case a.saysNothing():
		return silence(a)
	case !a.ok():
		return differs("%s", a.said())
	case len(all) != 1 || all[0].Result == nil:
		return differs("the answer has no count")
	}
	if n := all[0].Result.AggregateFields["n"].IntegerValue; n != "2" {
		return differs("it counts %q of 2 that have the field, and 1 that has not", n)
	}
	return passes("2 of 3")
}

func (r *run) unindexed(ctx context.Context, id string) outcome {
	_, a := r.look(ctx, id, "runQuery", query(equal("first", integer(1)), "second", "DESCENDING"))
	return refusedWith(a, http.StatusBadRequest, "FAILED_PRECONDITION", "index", "https://")
}

// exempted looks, where the query is answered, whether the field is exempted: the run exempts none.
func (r *run) exempted(ctx context.Context, id string) outcome {
	_, a := r.look(ctx, id, "runQuery", query(equal("exempted", integer(1)), "", ""))
	o := refusedWith(a, http.StatusBadRequest)
	if o.result != Differs || !a.ok() {
		return o
	}
	var field struct {
		IndexConfig struct {
			Indexes            []any
			UsesAncestorConfig bool
		}
	}
	a = r.firestore(ctx, "start", r.c.Database, "/collectionGroups/"+marks+"/fields/exempted", nil)
	if !a.ok() || json.Unmarshal(a.body, &field) != nil {
		return untried("a query is accepted, and whether the field is exempted cannot be seen (%s)", a.said())
	}
	if field.IndexConfig.UsesAncestorConfig || len(field.IndexConfig.Indexes) > 0 {
		return untried("the field exempted of %s is not exempted: gcloud firestore indexes fields update (docs/conformance.md)", marks)
	}
	return o
}

func (r *run) noDatabase(ctx context.Context, id string) outcome {
	const none = "jitaccess-none"
	a := r.firestore(ctx, id, none, "/documents:batchGet", object{"documents": []string{
		fmt.Sprintf("projects/%s/databases/%s/documents/%s/none", r.c.Project, none, marks)}})
	return refusedWith(a, http.StatusNotFound, "database") // internal/ledger/firestore/failure.go
}
