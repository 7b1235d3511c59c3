"""Asks every page for the example once: the image's test."""
import tempfile

import browser
import tables

with tempfile.TemporaryDirectory() as private:
    pages = browser.app(tables.Library("/data", private)).test_client()
    asked = [
        ("/", "trials.csv"), ("/file?file=experiment.sqlite", "means"), ("/table?file=trials.csv&table=trials&sort=rt_ms&down=1&f.rt_ms=>900", "rows that match"),
        ("/column?file=trials.csv&table=trials&column=rt_ms", "Histogram"), ("/column?file=trials.csv&table=trials&column=condition", "incongruent"),
        ("/sql?file=experiment.sqlite&q=SELECT condition, sd(rt_ms) FROM trials GROUP BY 1", "incongruent"),
        ("/export.csv?file=experiment.sqlite&table=participants", "participant,age,gender,hand"),
    ]
    for address, words in asked:
        answer = pages.get(address)
        assert answer.status_code == 200 and words in answer.text, (address, answer.text)
    assert "not changed" in pages.get("/sql?file=experiment.sqlite&q=DELETE FROM trials").text
    assert pages.get("/file?file=../etc/passwd").status_code == 400
    print(len(asked), "pages")
