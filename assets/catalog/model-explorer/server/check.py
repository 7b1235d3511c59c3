"""Draws every model once, through the pages: the image's test."""
import explorer

if __name__ == "__main__":
    pages = explorer.app().test_client()
    assert pages.get("/").status_code == 200
    found = pages.get("/api/models").json["models"]
    assert found and not any("error" in m for m in found), found
    for m in found:
        asked = "?model=" + m["id"]
        drawn = pages.get("/api/draw" + asked).json
        assert drawn.get("picture", "").startswith("data:image/svg"), drawn
        assert pages.get("/api/picture.png" + asked).data.startswith(b"\x89PNG")
        assert pages.get("/api/table.csv" + asked).data.count(b"\n") > 100
    print(f"{len(found)} models")
