// This file keeps the test data out of the root module, which users download.
module github.com/deployhook/deployhook/payload/drone/testdata
