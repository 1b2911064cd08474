package sqldb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
)

// SQLite overwrites a deleted row with zeros where the row is. While the row
// existed, however, SQLite may have moved it to another page when it split or
// merged pages. A copy then remains in the unused space of the first page. This
// file fills that space with zeros. The format of pages is documented in
// https://www.sqlite.org/fileformat.html.

// residueStep is the number of pages that one transaction cleans.
const residueStep = 64

// Types of pages in a pointer map.
const (
	pageRoot = 1
	pageTree = 5
)

// layout is the arrangement of the pages of a file with auto_vacuum.
type layout struct{ usable, pages, pending int64 }

// group returns the pointer map of a page. The pages that it describes follow
// it.
func (l layout) group(page int64) (pointers int64) {
	size := l.groupSize()
	pointers = (page-2)/size*size + 2
	if pointers == l.pending { // SQLite never uses this page
		pointers++
	}
	return pointers
}

func (l layout) groupSize() int64 { return l.usable/5 + 1 }

// inTree reports whether a page belongs to a table or an index, given the
// content of its pointer map.
func (l layout) inTree(page int64, pointers []byte) bool {
	at := 5 * (page - l.group(page) - 1)
	return at >= 0 && at < int64(len(pointers)) && (pointers[at] == pageRoot || pointers[at] == pageTree)
}

// unused returns the space of a page between its list of cells and the cells.
func (l layout) unused(page []byte) []byte {
	list := 0
	if len(page) == 0 { // after the end of the file
		return nil
	}
	switch page[0] {
	case 2, 5: // inner pages of an index or a table
		list = 12
	case 10, 13: // their leaves
		list = 8
	default:
		return nil
	}
	from := list + 2*int(binary.BigEndian.Uint16(page[3:]))
	to := int(binary.BigEndian.Uint16(page[5:]))
	if to == 0 {
		to = 1 << 16
	}
	if from > to || int64(to) > l.usable {
		return nil
	}
	return page[from:to]
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// clean fills the unused space of all pages with zeros. It reads the file in
// steps, and only a page with something to clean is written.
func (db *DB) clean(ctx context.Context) error {
	l, err := db.readLayout(ctx)
	if err != nil {
		return fmt.Errorf("looking for residues: %w", err)
	}
	for first := int64(2); first <= l.pages; first += l.groupSize() {
		dirty, err := l.findDirty(ctx, db.Reader(), l.group(first))
		if err != nil {
			return fmt.Errorf("looking for residues: %w", err)
		}
		for len(dirty) > 0 {
			n := min(len(dirty), residueStep)
			err := db.InTx(ctx, func(ctx context.Context, tx *Tx) error { return l.cleanPages(ctx, tx, dirty[:n]) })
			if err != nil {
				return fmt.Errorf("removing residues: %w", err)
			}
			dirty = dirty[n:]
		}
	}
	return nil
}

func (db *DB) readLayout(ctx context.Context) (l layout, err error) {
	var size int64
	var header []byte
	err = db.Reader().QueryRow(ctx, `SELECT s.page_size, c.page_count, d.data FROM pragma_page_size s, pragma_page_count c, sqlite_dbpage d
		WHERE d.pgno = 1`).Scan(&size, &l.pages, &header)
	if err != nil {
		return l, err
	}
	const reservedAt, firstLocked = 20, 1 << 30
	l.usable, l.pending = size-int64(header[reservedAt]), firstLocked/size+1
	return l, nil
}

// findDirty returns the pages of a group that have something to clean.
func (l layout) findDirty(ctx context.Context, q Querier, group int64) (dirty []int64, err error) {
	var pointers []byte
	_, err = Collect(ctx, q, func(r Row) (none struct{}, err error) {
		var page int64
		var data []byte
		switch err := r.Scan(&page, &data); {
		case err != nil:
			return none, err
		case page == group:
			pointers = data
		case l.inTree(page, pointers) && !isZero(l.unused(data)):
			dirty = append(dirty, page)
		}
		return none, nil
	}, `WITH RECURSIVE pages (n) AS (VALUES (?) UNION ALL SELECT n + 1 FROM pages WHERE n < ?)
		SELECT d.pgno, d.data FROM pages CROSS JOIN sqlite_dbpage d ON d.pgno = pages.n`, group, group+l.groupSize()-1)
	return dirty, err
}

// cleanPages cleans pages of one group, unless they have changed their purpose
// since findDirty.
func (l layout) cleanPages(ctx context.Context, tx *Tx, dirty []int64) error {
	pointers, err := readPage(ctx, tx, l.group(dirty[0]))
	for _, page := range dirty {
		if err != nil {
			return err
		}
		var data []byte
		if data, err = readPage(ctx, tx, page); err != nil || !l.inTree(page, pointers) {
			continue
		}
		clear(l.unused(data))
		_, err = tx.Exec(ctx, "UPDATE sqlite_dbpage SET data = ? WHERE pgno = ?", data, page)
	}
	return err
}

// readPage returns nothing for a page after the end of the file.
func readPage(ctx context.Context, q Querier, page int64) (data []byte, err error) {
	err = q.QueryRow(ctx, "SELECT data FROM sqlite_dbpage WHERE pgno = ?", page).Scan(&data)
	if errors.Is(err, ErrNoRows) {
		return nil, nil
	}
	return data, err
}
