module nettool

go 1.24
