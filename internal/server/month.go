package server

import (
	"net/http"
	"strings"
	"time"

	"jitaccess/internal/access"
)

// monthView is a month at a glance: how many requests were made on each day, and what
// became of them. Nobody is named and nobody ranked.
type monthView struct {
	Frame
	Name      string
	Everybody bool
	Warnings  []string
	Days      []dayView
	Lines     []lineView
	Totals    [3]int
	// Width and Height are of the picture; Left, Top, Column and Plot are where its columns
	// begin, and how wide and high they are.
	Width, Height           int
	Left, Top, Column, Plot int
	// Cut: not all requests were looked through, and the first days may lack some.
	Cut bool
	// Before and After are addresses of the months beside it; After is empty for the month
	// that is.
	Before, After, List string
	Filter              filterView
}

// dayView is a column. Counts are as in became.
type dayView struct {
	Date, Text string
	Number     int
	Counts     [3]int
	Bars       []barView
	X, Middle  int
	// Named is whether its number stands below it where there is not room for all.
	Named bool
	Link  string
}

type barView struct {
	Class         string
	X, Y          int
	Width, Height int
}

// lineView is a line at a number of requests.
type lineView struct{ Y, Label, Count int }

// What became of requests, as the picture has it.
const (
	becameAccess = iota
	becameRefused
	becameOther
)

var barClasses = [3]string{"granted", "refused", "else"}

func became(state access.State) int {
	switch state {
	case access.Active, access.Ended, access.Expired, access.Approved, access.Scheduled:
		return becameAccess
	case access.Denied, access.Failed:
		return becameRefused
	}
	return becameOther
}

// The picture, in its own units.
const (
	pictureLeft, pictureTop = 44, 14
	columnWidth, barWidth   = 22, 16
	plotHeight              = 200
	pictureFoot             = 28
)

func (s *server) month(r *http.Request) (page, error) {
	wanted, f, q, err := s.filtered(r)
	if err != nil {
		return page{}, err
	}
	now := s.Now().UTC()
	first := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	if text := q.Get("month"); text != "" {
		if first, err = time.Parse("2006-01", text); err != nil || first.Year() < 1970 {
			return page{}, badInput("a month is written as 2006-01", err)
		}
	}
	wanted.From, wanted.To, wanted.After = first, first.AddDate(0, 1, 0), ""
	counts, whole, warnings, err := s.Broker.Counts(r.Context(), callerOf(r), wanted)
	if err != nil {
		return page{}, err
	}
	v := monthView{Frame: s.frame(r, "list.month"), Filter: f, Everybody: s.Broker.Auditor(r.Context(), callerOf(r)),
		Warnings: s.viewWarnings(r, warnings), Cut: !whole}
	days := make([][3]int, wanted.To.AddDate(0, 0, -1).Day())
	for _, c := range counts {
		b := became(c.State)
		days[c.Day.Day()-1][b] += c.Requests
		v.Totals[b] += c.Requests
	}
	v.draw(days)
	l := s.languageOf(r)
	months := strings.Fields(l.Text("date.months"))
	v.Name = l.Text("month.name", "month", months[first.Month()-1], "year", first.Format("2006"))
	for i := range v.Days {
		d := &v.Days[i]
		d.Date = first.AddDate(0, 0, i).Format(time.DateOnly)
		d.Link = sameList("/history", q, "from", d.Date, "to", d.Date)
		d.Text = l.Text("month.day", "day", d.Number, "month", v.Name, "granted", d.Counts[becameAccess], "refused", d.Counts[becameRefused],
			"other", d.Counts[becameOther])
	}
	monthOf := func(later int) string {
		return sameList("/history/month", q, "from", "", "to", "", "month", first.AddDate(0, later, 0).Format("2006-01"))
	}
	v.Before = monthOf(-1)
	if !wanted.To.After(now) {
		v.After = monthOf(1)
	}
	v.List = sameList("/history", q, "from", first.Format(time.DateOnly), "to", wanted.To.AddDate(0, 0, -1).Format(time.DateOnly))
	return page{template: "month", status: http.StatusOK, data: v}, nil
}

// draw lays the columns out.
func (v *monthView) draw(counts [][3]int) {
	most := 1
	for _, c := range counts {
		most = max(most, c[0]+c[1]+c[2])
	}
	step := 1
	for _, s := range []int{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000} {
		if step = s; most <= 5*s {
			break
		}
	}
	top := (most + step - 1) / step * step
	height := func(n int) int { return n * plotHeight / top }
	bottom := pictureTop + plotHeight
	v.Width, v.Height = pictureLeft+len(counts)*columnWidth, bottom+pictureFoot
	v.Left, v.Top, v.Column, v.Plot = pictureLeft, pictureTop, columnWidth, plotHeight
	for n := 0; n <= top; n += step {
		v.Lines = append(v.Lines, lineView{Y: bottom - height(n), Label: bottom - height(n) + 4, Count: n})
	}
	for i, c := range counts {
		d := dayView{Number: i + 1, Counts: c, X: pictureLeft + i*columnWidth, Named: i == 0 || i%5 == 4}
		d.Middle = d.X + columnWidth/2
		below := 0
		for b, n := range c {
			if n == 0 {
				continue
			}
			y, under := bottom-height(below+n), bottom-height(below)
			d.Bars = append(d.Bars, barView{barClasses[b], d.X + (columnWidth-barWidth)/2, y, barWidth, under - y})
			below += n
		}
		v.Days = append(v.Days, d)
	}
}
